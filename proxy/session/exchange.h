#pragma once
// One request and its response: from the head that a client sent to the last byte that it gets.
//
// The exchange knows neither sockets nor protocols: it stands between a ClientSide (an HTTP/1.1
// connection or an HTTP/2 stream) and an upstream::Channel, decides where the request goes, what to
// do when that fails, and moves bodies both ways as far as there is room.
//
//   Idle [-> Authorizing] [-> Collecting] -> Connecting (an endpoint, then the next) -> Streaming
//   [-> Tunnel] -> Done
//     \-> Answered (by us: no route, refused, redirect, failure) -> Done
//
// A request that asks for an upgrade and is answered 101 becomes a tunnel: the bodies are then
// bytes as they come, until both directions have ended. A relay is a tunnel from the start, without
// a request: a connection to a TCP port, or to a host whose TLS passes through.
//
// The request half (still coming or complete) belongs to the client side; the response half is
// here. The route is pinned for the whole exchange; the Service and the TLS policy are those of
// the worker's newest snapshot (attempts.h).
//
// Threading: one worker's. Ownership: owned by the client side; reused from one request to the
// next.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/forwarding.h"
#include "proxy/http/message.h"
#include "proxy/http/trailers.h"
#include "proxy/net/proxy_protocol.h"
#include "proxy/session/attempts.h"
#include "proxy/session/authorization.h"
#include "proxy/session/client_access.h"
#include "proxy/session/client_origin.h"
#include "proxy/session/context.h"
#include "proxy/session/session.h"
#include "proxy/session/spool.h"
#include "proxy/upstream/channel.h"

namespace handfast::session {

// An answer of ours.
struct OwnResponse {
  int status = 0;
  std::string_view extra;  // complete header lines
  // Not negative: a gRPC client is told by this instead of the status, in the head and without a
  // body (gRPC over HTTP/2, "Trailers-Only").
  int grpc_status = -1;
  std::string_view strict_transport = {};  // Strict-Transport-Security; empty: nothing is said
};

// As the client of this request understands it.
[[nodiscard]] OwnResponse own_response(const http::RequestHead& head, int status,
                                       std::string_view extra = {});

// Puts a head on record that never became a request, and so never had an exchange.
void report_refusal(Context& context, const ClientFacts& facts, int major_version, int status,
                    std::string_view what);

// Puts a client on record whom a TCP port refused in the handshake.
void report_refused_client(Context& context, const ClientFacts& facts, std::uint16_t tcp_port,
                           const ClientDenial& denial);

// What a relay goes by: a TCP port, or else the host that the client's TLS names.
struct RelayTarget {
  std::uint16_t tcp_port = 0;
  std::string_view server_name;
  net::ProxyEndpoints endpoints;  // of the client's connection, for a PROXY header
};

// What an exchange asks of the client's protocol. None of these calls back into the exchange but
// client_done() of the last one.
class ClientSide {
 public:
  virtual ~ClientSide() = default;
  virtual void send_informational(const http::ResponseHead& head) = 0;
  // 101: from now on the bodies of both directions are bytes of a tunnel. `strict_transport`: in
  // the place of the backend's own Strict-Transport-Security; empty: that one passes.
  virtual void send_head(const http::ResponseHead& head, std::string_view strict_transport) = 0;
  virtual void send_body(std::string_view payload) = 0;
  // A tunnel's direction to the client has ended; the other goes on. Only after a 101.
  virtual void send_tunnel_end() {}
  virtual void send_own_response(const OwnResponse& response) = 0;
  // The response is complete / can't be completed (the client must notice). Last call; the exchange
  // is over and may be reused or destroyed from within. `cancelled`: by the backend, on purpose.
  virtual void on_exchange_done(const http::HeaderList& trailers) = 0;
  virtual void on_exchange_cut(bool cancelled) = 0;
  [[nodiscard]] virtual bool has_room() const = 0;
  // Request body is welcome (again).
  virtual void resume_request_body() = 0;
};

class Exchange final : public AttemptUser, public AuthorizationUser {
 public:
  explicit Exchange(Context& context) : context_(context), attempts_(context, *this) {}
  ~Exchange() override;

  // Parsed into by the client side, which keeps the bytes in place until the exchange is over.
  http::RequestHead head;

  void start(ClientSide& client, const ClientFacts& facts);
  // A relay. `to`: where it leads in the newest snapshot.
  void start_relay(ClientSide& client, const ClientFacts& facts, const RelayTarget& to);

  // From the client side.
  [[nodiscard]] bool wants_request_body() const;
  void on_request_body(std::string_view payload);
  // After the last of the body, and at once where there is none.
  void on_request_end(const http::HeaderList& trailers);
  void on_client_room();
  // The client is gone, or broke the protocol: everything stops. No further call to the client
  // side. `status`: what goes on record if no answer has begun; 499 is nginx's "client closed
  // request".
  void abort(int status = 499);
  // The client has the head of its response, or an answer of ours.
  [[nodiscard]] bool response_started() const noexcept { return head_sent_; }
  // As Session's.
  void add_guarded_host(std::vector<std::string_view>& hosts) const;

  // From the backend.
  [[nodiscard]] PolicyToday find_policy_today(const route::Snapshot& newest) const override;
  void on_way(upstream::Channel& channel) override;
  void on_no_way(const NoWay& why) override;
  void on_upstream_ready(upstream::Channel& channel) override;
  void on_upstream_head(const http::ResponseHead& response) override;
  void on_upstream_body(std::string_view payload) override;
  void on_upstream_end(const http::HeaderList& trailers) override;
  void on_upstream_failed(const upstream::Failure& failure) override;
  void on_upstream_drained() override;
  [[nodiscard]] bool wants_upstream_body() const override;

 private:
  enum class State : std::uint8_t { Idle, Authorizing, Collecting, Connecting, Streaming, Tunnel };

  void begin(ClientSide& client, const ClientFacts& facts);
  bool admit_exchange();
  void open_tunnel(upstream::Channel& channel);
  void learn_client();
  [[nodiscard]] http::ForwardContext forward_context() const;
  void route();
  void choose_request_id();
  bool admit_address();
  bool admit_client();
  bool admit_body();
  void admit_upgrade();
  void authorize();
  void on_authorized() override;
  void deny();
  // The client may have the route.
  void proceed();
  void end_request(const http::HeaderList& trailers);
  void send_head(const http::ResponseHead& response);
  [[nodiscard]] std::string_view strict_transport() const;
  // False: it is served over plain HTTP after all.
  bool redirect_to_https();
  void choose_endpoint();
  [[nodiscard]] std::uint64_t hash() const;
  [[nodiscard]] upstream::Wire wire() const;
  void send_request(upstream::Channel& channel);
  void begin_collecting();
  void collect(std::string_view payload);
  void end_collecting(const http::HeaderList& trailers);
  void send_spooled_request();
  bool send_spooled_response();
  void drop_spools();
  [[nodiscard]] bool may_send_again() const;
  [[nodiscard]] bool has_tries_left() const;
  [[nodiscard]] bool may_retry(const upstream::Failure& failure, bool for_nothing) const;
  [[nodiscard]] bool tries_another_for(int status);
  void answer(Reason reason, std::string_view detail, int status);
  void answer_status(int status, std::string_view extra);
  [[nodiscard]] int grpc_status(int by_status) const;
  void drop_channel();
  void go_idle();
  void note_peer(const upstream::PeerFacts& peer);
  void finish(bool cut, const http::HeaderList& trailers = http::no_trailers());
  void report(bool cut);

  Context& context_;
  ClientSide* client_ = nullptr;
  ClientFacts facts_;
  ClientOrigin origin_;  // good if the client is believed
  bool https_ = false;   // the scheme that the client used, for all that we know
  State state_ = State::Idle;
  SnapshotHolder::Pin snapshot_;
  const route::HostEntry* host_ = nullptr;
  const config::Route* route_ = nullptr;
  std::size_t route_index_ = 0;
  upstream::Channel* channel_ = nullptr;
  Attempts attempts_;
  std::unique_ptr<Authorization> authorization_;  // once there was need of one
  std::unique_ptr<Spool> request_spool_;   // buffered whole before it is sent; null: streamed
  std::unique_ptr<Spool> response_spool_;  // what the client has no room for yet
  std::unique_ptr<http::TrailerSection> request_trailers_;
  std::unique_ptr<http::TrailerSection> response_trailers_;
  bool asked_ = false;  // the auth server, about this request: what it says counts
  bool request_complete_ = false;
  bool request_body_sent_ = false;
  bool head_sent_ = false;          // the client has the response's head
  bool request_end_sent_ = false;   // of a buffered request
  bool response_complete_ = false;  // of a buffered response: all of it is here
  bool upstream_ended_ = false;     // of a tunnel: the backend's direction
  bool relay_ = false;
  bool cancelled_ = false;      // by the backend (RFC 9113, CANCEL)
  std::uint16_t tcp_port_ = 0;  // of a relay; 0: TLS that passes through
  std::string prelude_;         // of a relay: what the backend gets before its first byte

  // For the record.
  std::array<char, 32> own_request_id_{};
  std::string_view request_id_;  // the client's, or ours
  Monotonic started_;
  // What the loop's clock said; the epoch: it came not so far.
  struct UpstreamTimes {
    Monotonic chosen{}, connected{}, head{}, end{};
  } upstream_times_;
  std::int64_t unix_milliseconds_ = 0;
  int status_ = 0;
  int upstream_status_ = 0;
  std::uint64_t request_bytes_ = 0;
  std::uint64_t response_bytes_ = 0;
  Reason reason_ = Reason::Ok;
  std::string detail_;
  bool upstream_reused_ = false;
  upstream::TlsFacts upstream_tls_;
  std::shared_ptr<const pki::Identity> presented_;
  std::string_view path_;  // normalised
  std::string path_scratch_;
  std::string host_scratch_;
};

}  // namespace handfast::session
