#pragma once
// One HTTP/1.1 connection to a backend, plain or TLS, used by one exchange at a time.
//
//   Connecting -> Handshaking (TLS) -> Ready -> Busy -> Ready -> … -> Closed
//
// It reads the response as far as its user has room for it, and sends what its user queues at the
// end of the round. What a backend sends is as suspect as what a client sends: bytes nobody asked
// for, or bytes after the end, close it and it is never pooled.
//
// Threading: one worker's. Ownership: the Pool owns every connection; the user borrows it between
// Pool::take()/connect() and release() or abandon().

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/buffer.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/event/loop.h"
#include "proxy/http/body.h"
#include "proxy/http/h1_parser.h"
#include "proxy/net/stream.h"
#include "proxy/tls/contexts.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::upstream {

struct Timeouts {
  std::chrono::milliseconds connect{5'000};    // TCP and TLS together: proxy-connect-timeout
  std::chrono::milliseconds transfer{60'000};  // between two signs of progress: proxy-read-timeout
  std::chrono::milliseconds idle{60'000};      // in the pool
};

// What a connection tells its user. Order: ready, then head (1xx any number of times first), body*,
// end; or failed at any point, once, last. The user may release or abandon the connection in each.
class ConnectionUser {
 public:
  virtual ~ConnectionUser() = default;
  virtual void on_upstream_ready() = 0;
  virtual void on_upstream_head(const http::ResponseHead& head) = 0;
  virtual void on_upstream_body(std::string_view payload) = 0;
  virtual void on_upstream_end() = 0;
  virtual void on_upstream_failed(const Error& error) = 0;
  // The send queue fell below the mark: more of the request body is welcome.
  virtual void on_upstream_drained() = 0;
  // Whether response body is welcome now; if not, the user calls resume() when it is.
  [[nodiscard]] virtual bool wants_upstream_body() const = 0;
};

// What was agreed in the handshake, for the access log.
struct TlsFacts {
  std::string_view version;  // "TLSv1.3"
  std::string_view cipher;
  std::string peer_subject;
  std::string peer_serial;
  bool certificate_requested = false;
};

class Pool;

class Connection final : public event::Handler, public event::RoundEnd, public ListNode {
 public:
  enum class State : std::uint8_t { Connecting, Handshaking, Ready, Busy, Closed };

  // Above this many queued bytes the user should stop adding request body.
  static constexpr std::size_t kSendMark = 64 * 1024;

  ~Connection() override;

  // Starts a request: from now on the response is read. `method` decides about its body.
  void begin(std::string_view method);
  void send(std::string_view bytes);
  [[nodiscard]] bool has_room() const;
  // The user has room for body again.
  void resume();

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool reused() const noexcept { return requests_ > 1; }
  [[nodiscard]] const net::Address& address() const noexcept { return address_; }
  [[nodiscard]] const std::shared_ptr<const tls::UpstreamPolicy>& policy() const { return policy_; }
  [[nodiscard]] const TlsFacts& tls_facts() const noexcept { return tls_facts_; }
  [[nodiscard]] const std::string& service() const noexcept { return service_; }
  // The peer's chain, for judging it again; null for plain connections.
  [[nodiscard]] SSL* ssl() const noexcept { return tls_ == nullptr ? nullptr : tls_->ssl(); }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

 private:
  friend class Pool;
  enum class Phase : std::uint8_t { Head, Body, Finished };

  Connection(Pool& pool, net::Address address, std::string service,
             std::shared_ptr<const tls::UpstreamPolicy> policy, ConnectionUser& user);

  void advance_connect();
  void advance_handshake();
  void become_ready();
  void pump();
  bool pump_head();
  bool pump_body();
  bool read_more();
  void on_end_of_stream();
  void finish_response();
  void on_idle_event();
  void on_event_before_request();
  [[nodiscard]] bool is_silent();
  void on_timeout();
  void fail(Error error);
  void arm(std::chrono::milliseconds after);
  void note_tls_facts();

  Pool& pool_;
  ConnectionUser* user_;  // null while idle
  net::Address address_;
  std::string service_;
  std::shared_ptr<const tls::UpstreamPolicy> policy_;
  std::uint64_t id_ = 0;
  std::size_t slot_ = 0;  // index in the pool's list of all

  net::Socket connecting_;  // until the stream exists
  std::unique_ptr<net::Stream> stream_;
  tls::TlsStream* tls_ = nullptr;  // stream_, if it is TLS
  event::Timer timer_;
  Buffer in_;
  http::H1ResponseParser parser_;
  http::BodyDecoder body_;
  http::ResponseHead head_;
  std::string method_;
  State state_ = State::Connecting;
  Phase phase_ = Phase::Head;
  bool keep_alive_ = false;
  bool pumping_ = false;
  bool above_mark_ = false;
  bool send_failed_ = false;
  bool request_flushed_ = false;  // bytes of this request have gone out
  bool superseded_ = false;       // the policy's identity or rules were replaced: never pooled
  int informational_ = 0;         // 1xx heads of this response
  std::optional<Error>
      early_failure_;  // found inside Pool::connect(), told at the end of the round
  std::uint64_t requests_ = 0;
  // Which trust the peer's chain was last judged under, and until when that judgement holds.
  std::string epoch_;
  UnixSeconds valid_until_ = 0;
  UnixSeconds peer_not_after_ = 0;  // of a verified peer's own certificate
  Monotonic started_;
  TlsFacts tls_facts_;
};

}  // namespace handfast::upstream
