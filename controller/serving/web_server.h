#pragma once
// A small HTTP/1.1 server for the controller's own endpoints: few clients who come seldom, and
// strangers who may try to take all there is.
//
// Heads are read by the parser of the proxy (proxy/http/h1_parser.h), as strictly as those of
// traffic. A body says how long it is; chunks aren't taken.
//
// All is bounded: connections, bodies in memory, the size of heads and bodies, and the time
// of each step. One more connection than may be ends the one that has waited longest for its peer,
// of the network (an IPv4 address, an IPv6 /64) that has most of them, and at first of those who
// never sent a request: whoever has many or sends nothing keeps nobody else out. Where the handler
// has a limit networks take turns, so whoever asks often keeps nobody else waiting.
//
//   accepted --TLS--> head --body--> turn --> handler --answer--> head ...
//       \__ late, too large, given up: closed __/
//
// Threading: a thread accepts, and one serves each connection; the handler is called on these, many
// at a time. The destructor ends all connections and waits. Errors: of a peer, its own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

struct ssl_ctx_st;

namespace handfast::serving {

// The texts are good during the call that gets them.
struct WebRequest {
  std::string_view method;
  std::string_view path;                // of the target, without its query
  std::optional<std::uint64_t> length;  // of the body, where the head says one
  std::string body{};
};

struct WebReply {
  int status = 200;
  std::string body;
  std::string type = "text/plain; charset=utf-8";
  std::vector<std::pair<std::string_view, std::string_view>> fields{};
};

struct WebLimits {
  std::size_t connections = 32;
  std::size_t bodies = 32;          // in memory; the oldest on its way is given up for the next
  std::size_t network_bodies = 32;  // of one network, likewise
  std::size_t handlers = std::numeric_limits<std::size_t>::max();  // at once
  std::size_t head_bytes = std::size_t{16} << 10;
  std::size_t body_bytes = 0;
  std::chrono::milliseconds head_time{
      10'000};  // of the first with the handshake; else from its first byte
  std::chrono::milliseconds body_time{10'000};
  std::chrono::milliseconds body_grace{250};     // that one has before it is given up for another
  std::chrono::milliseconds idle_time{120'000};  // between two requests
};

class WebServer {
 public:
  struct Parts {
    // Of a head, before its body is read: an answer that ends the connection; none: go on.
    std::function<std::optional<WebReply>(const WebRequest&)> refuse;
    std::function<WebReply(const WebRequest&)> handle;
    // Fills the TLS context of a connection; none: plain.
    std::function<void(ssl_ctx_st*)> prepare_tls{};
    // What clients' certificates are judged by, as a number that is another with it: connections
    // that were accepted under another one end within a second, and no request of theirs is
    // handled. None: it stays the same.
    std::function<std::uint64_t()> trust{};
    // Those whose client's certificate, or one above it, has expired end likewise. None: the
    // machine's clock. Outlives the server.
    const Clock* clock = nullptr;
  };

  virtual ~WebServer() = default;

  // `address`: see listen_address.h. InvalidValue for a bad one, Io for one that can't be listened
  // on.
  [[nodiscard]] static Result<std::unique_ptr<WebServer>> open(const std::string& address,
                                                               WebLimits limits, Parts parts);

  [[nodiscard]] virtual std::size_t connections() const = 0;
  // How many requests wait for their turn.
  [[nodiscard]] virtual std::size_t waiting() const = 0;
};

}  // namespace handfast::serving
