#pragma once
// One request's way to a backend, whatever carries it: an HTTP/1.1 connection for its time, or one
// stream of an HTTP/2 connection.
//
//   Pool::take() or on_upstream_ready() -> begin() -> send_body()* -> end_body()
//   meanwhile: 1xx head* -> head -> body* -> end; or failed at any point, once, last
//   then release() or abandon(), after which the channel must not be touched.
//
// A request that asks for an upgrade and is answered 101 becomes a tunnel: send_body() and
// on_upstream_body() carry bytes as they are, end_body() and on_upstream_end() the ends of the two
// directions. begin_tunnel() makes one of a new connection at once, without a request: TCP.
//
// Threading: one worker's. Ownership: the Pool's; the user borrows it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/base/intrusive_list.h"
#include "proxy/base/result.h"
#include "proxy/config/traffic.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/message.h"
#include "proxy/net/address.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::route {
class Snapshot;
}

namespace handfast::upstream {

// What is spoken to a backend. Http2 without TLS is by prior knowledge (RFC 9113 section 3.3);
// Either is decided by ALPN.
enum class Wire : std::uint8_t { Http1, Http2, Either };

// What a route asks for.
[[nodiscard]] constexpr Wire wire_of(config::Http2 http2) {
  switch (http2) {
    case config::Http2::Off:
      return Wire::Http1;
    case config::Http2::Offer:
      return Wire::Either;
    case config::Http2::Require:
      return Wire::Http2;
  }
  return Wire::Http1;
}

// Where a request goes and how: what pools are keyed by, and how long a connect may take.
struct Target {
  net::Address address;
  std::shared_ptr<const tls::UpstreamPolicy> policy = nullptr;  // null: plain
  Wire wire = Wire::Http1;
  std::chrono::milliseconds connect_timeout{5'000};  // TCP and TLS together: proxy-connect-timeout
  // Sent on a new connection before all else, in plain also before TLS: a PROXY header. Whoever
  // asks for it takes no connection that is there.
  std::string prelude = {};
};

// What was agreed in the handshake, for the access log.
struct TlsFacts {
  std::string_view version;  // "TLSv1.3"; empty: plain
  std::string_view cipher;
  std::string peer_subject;
  std::string peer_serial;
  bool certificate_requested = false;
  Reason would_refuse = Reason::Ok;  // during an audit: why it would not have been believed
  bool resumed = false;  // then the peer and the request are those of the session's making
};

// Who is at the other end, and under which policy the connection was made.
struct PeerFacts {
  net::Address address;
  std::shared_ptr<const tls::UpstreamPolicy> policy;  // null: plain
  TlsFacts tls;
};

struct Failure {
  Error error;
  // The backend can't have acted on the request: it never got it, or said that it refused it
  // unprocessed (RFC 9113 section 8.7).
  bool unprocessed = false;
  bool malformed = false;           // the response's head can't be read
  bool stream_alone = false;        // the connection lives on
  const PeerFacts* peer = nullptr;  // never null; during the call
  bool crowded = false;             // nothing failed: the endpoint has all the connections it may
  bool cancelled = false;  // the backend wants the request no more (RFC 9113 section 7, CANCEL)
};

struct ChannelRequest {
  const http::RequestHead& head;
  const http::ForwardContext& forward;
  std::chrono::milliseconds read_timeout;  // between two signs of life: proxy-read-timeout
  std::chrono::milliseconds send_timeout;  // between two writes that made progress
};

class Channel {
 public:
  // Above this many queued bytes the user should stop adding request body.
  static constexpr std::size_t kSendMark = 64 * 1024;
  // More 1xx heads than this before a final one is an attack (reliability: hostile backends).
  static constexpr int kMaxInformational = 10;

  // Sends the head. A body follows unless its framing says None.
  virtual void begin(const ChannelRequest& request) = 0;
  // Instead of begin(); only of a new HTTP/1.1 connection. `idle`: between two signs of life.
  virtual void begin_tunnel(std::chrono::milliseconds idle) = 0;
  virtual void send_body(std::string_view payload) = 0;
  // Only where a body was announced, or in a tunnel. Trailers go on where the protocol has them.
  virtual void end_body(const http::HeaderList& trailers) = 0;
  [[nodiscard]] virtual bool has_room() const = 0;
  // The user has room for body again.
  virtual void resume() = 0;

  // The response was whole and the request too: the connection may live on.
  virtual void release() = 0;
  // Nothing more is wanted: an HTTP/1.1 connection closes, a stream is reset.
  virtual void abandon() = 0;

  [[nodiscard]] virtual const PeerFacts& peer() const = 0;
  // It has carried requests before.
  [[nodiscard]] virtual bool reused() const = 0;

 protected:
  ~Channel() = default;
};

class Dial;

// Whoever sends a request. Linked while it waits: for a Dial, or for what the peer of a new HTTP/2
// connection allows.
class ChannelUser : public ListNode {
 public:
  virtual ~ChannelUser() = default;
  // A connection asked for with Pool::connect(). It must begin(), release() or abandon() now.
  virtual void on_upstream_ready(Channel& channel) = 0;
  virtual void on_upstream_head(const http::ResponseHead& head) = 0;
  virtual void on_upstream_body(std::string_view payload) = 0;
  virtual void on_upstream_end(const http::HeaderList& trailers) = 0;
  // Last call; the channel, if there was one, is gone.
  virtual void on_upstream_failed(const Failure& failure) = 0;
  // The send queue fell below the mark: more of the request body is welcome.
  virtual void on_upstream_drained() = 0;
  // Whether response body is welcome now; if not, the user calls resume() when it is.
  [[nodiscard]] virtual bool wants_upstream_body() const = 0;
  // The policy by which it would be sent today, whatever that is called; null: it has no route any
  // more, or one without TLS.
  [[nodiscard]] virtual std::shared_ptr<const tls::UpstreamPolicy> policy_today(
      const route::Snapshot& /*newest*/) const {
    return nullptr;
  }

 private:
  friend class Dial;
  friend class Pool;
  Dial* dial_ = nullptr;  // that it waits for, if it is one
};

}  // namespace handfast::upstream
