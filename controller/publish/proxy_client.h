#pragma once
// The controller's end of the control protocol (docs/generation-format.md).
//
// Threading: one thread's, but for stop(); calls block, each for no longer than its deadline.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/config/control.h"
#include "proxy/config/preflight.h"

namespace handfast::publish {

class ProxyControl {
 public:
  // Absent: nobody listens, so nothing is served. Failed: somebody does, but no answer came (it
  // hung, died over it, or spoke something else); `error` says what.
  struct LoadResult {
    enum class Kind : std::uint8_t { Answered, Absent, Failed };
    Kind kind = Kind::Absent;
    config::LoadAnswer answer;
    Error error;
  };

  virtual ~ProxyControl() = default;
  // Asking again for what is served already is answered at once and changes nothing.
  [[nodiscard]] virtual LoadResult load(std::uint64_t generation) = 0;
  [[nodiscard]] virtual Result<config::StateAnswer> state() = 0;
};

// HTTP/1.1 over a Unix socket, a connection for each request. The listener must run under our user
// or root's.
class ProxyClient final : public ProxyControl {
 public:
  // The default leaves time for the proxy's first load of 10,000 key pairs.
  explicit ProxyClient(std::string socket_path,
                       std::chrono::milliseconds deadline = std::chrono::seconds(60))
      : path_(std::move(socket_path)), deadline_(deadline) {}

  LoadResult load(std::uint64_t generation) override;
  Result<config::StateAnswer> state() override;
  // From any thread.
  [[nodiscard]] Result<config::PreflightAnswer> preflight(
      const config::PreflightRequest& request) const;

  // From any thread, for good: calls under way and later ones fail at once.
  void stop() { stopped_.store(true, std::memory_order_relaxed); }

 private:
  struct Response {
    bool absent = false;
    int status = 0;
    std::string body;
  };
  [[nodiscard]] Result<Response> exchange(std::string_view method, std::string_view target,
                                          std::string_view body) const;

  std::string path_;
  std::chrono::milliseconds deadline_;
  std::atomic<bool> stopped_{false};
};

}  // namespace handfast::publish
