#pragma once
// The controller's small web server: /metrics, /healthz (we live), /readyz (what was found at start
// is served).
//
// Threading: the questions are asked from threads of the server's own, for metrics one at a time;
// who scrapes doesn't keep a probe waiting. The destructor waits for them.

#include <functional>
#include <memory>
#include <string>

#include "proxy/base/result.h"

namespace handfast::metrics {

struct Questions {
  std::function<std::string()> metrics;
  std::function<bool()> is_ready;
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;

  // `address`: "127.0.0.1:10254", ":10254", "[::1]:10254". Port 0 is refused: nobody could tell
  // which one it became. InvalidValue for a bad address, Io for one that can't be listened on.
  [[nodiscard]] static Result<std::unique_ptr<Endpoint>> open(const std::string& address,
                                                              Questions questions);
};

}  // namespace handfast::metrics
