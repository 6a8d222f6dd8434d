#pragma once
// Requests to an API server, as those who make them see it: one request, one answer; or a stream of
// lines until its end.
//
// Threading: send() and cancel() from any thread. Callbacks come from a thread of the client's, one
// at a time and in order, on_end exactly once and last, also after cancel(). They may block, which
// holds up all that comes from the server: that is how a slow reader slows it down.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace handfast::kube {

struct Request {
  std::string method = "GET";
  std::string target;        // "/api/v1/secrets?limit=500"
  std::string content_type;  // of the body; PATCH: "application/apply-patch+yaml"
  std::string body;
  bool is_stream = false;  // the body of a 200 is lines
  // More than that, in the body or in a line, ends the request.
  std::size_t max_bytes = std::size_t{256} << 20;
};

struct Answer {
  int status = 0;    // 0: none came
  std::string body;  // but for a stream's 200
  std::optional<std::chrono::seconds> retry_after;
  std::string failure;  // what cut it; empty: it ended in order
};

struct Callbacks {
  std::function<void()> on_open;                  // a stream: 200 came
  std::function<void(std::string line)> on_line;  // whole lines, without their ends
  std::function<void(Answer answer)> on_end;
};

class Api {
 public:
  virtual ~Api() = default;

  using Id = std::uint64_t;
  [[nodiscard]] virtual Id send(Request request, Callbacks callbacks) = 0;
  // Of one that ended: nothing.
  virtual void cancel(Id id) = 0;
};

}  // namespace handfast::kube
