#pragma once
// One request and its response: from the head that a client sent to the last byte that it gets.
//
// The exchange knows neither sockets nor protocols of the client: it stands between a ClientSide
// (an HTTP/1.1 connection; later an HTTP/2 stream) and an upstream::Connection, decides where the
// request goes, what to do when that fails, and moves bodies both ways as far as there is room.
//
//   Idle -> Connecting (an endpoint is tried, then the next) -> Streaming -> Done
//     \-> Answered (by us: no route, refused, redirect, failure) -> Done
//
// The request half (still coming or complete) belongs to the client side; the response half is
// here. The route is pinned for the whole exchange; the TLS policy is looked up in the worker's
// newest snapshot each time a connection is picked and once more when a new connection is ready, so
// that nothing is sent under an identity or a trust that has been replaced.
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

#include "proxy/http/message.h"
#include "proxy/session/context.h"
#include "proxy/upstream/connection.h"

namespace handfast::session {

// What an exchange asks of the client's protocol. None of these calls back into the exchange but
// client_done() of the last one.
class ClientSide {
 public:
  virtual ~ClientSide() = default;
  virtual void send_informational(const http::ResponseHead& head) = 0;
  virtual void send_head(const http::ResponseHead& head) = 0;
  virtual void send_body(std::string_view payload) = 0;
  // An answer of ours. `extra`: complete header lines.
  virtual void send_own_response(int status, std::string_view extra) = 0;
  // The response is complete / can't be completed (the client must notice). Last call; the exchange
  // is over and may be reused or destroyed from within.
  virtual void on_exchange_done() = 0;
  virtual void on_exchange_cut() = 0;
  [[nodiscard]] virtual bool has_room() const = 0;
  // Request body is welcome (again).
  virtual void resume_request_body() = 0;
};

// Who the client is; views that outlive the exchange.
struct ClientFacts {
  std::string_view address;
  bool tls = false;
  std::string_view tls_version;
  std::string_view tls_cipher;
  std::string_view server_name;
};

class Exchange final : public upstream::ConnectionUser {
 public:
  explicit Exchange(Context& context) : context_(context) {}
  ~Exchange() override;

  // Parsed into by the client side, which keeps the bytes in place until the exchange is over.
  http::RequestHead head;

  void start(ClientSide& client, const ClientFacts& facts);

  // From the client side.
  [[nodiscard]] bool wants_request_body() const;
  void on_request_body(std::string_view payload);
  void on_request_end();
  void on_client_room();
  // The client is gone: everything stops. No further call to the client side.
  void abort();
  // The client has the head of its response, or an answer of ours.
  [[nodiscard]] bool response_started() const noexcept { return head_sent_; }

  // From the backend.
  void on_upstream_ready() override;
  void on_upstream_head(const http::ResponseHead& response) override;
  void on_upstream_body(std::string_view payload) override;
  void on_upstream_end() override;
  void on_upstream_failed(const Error& error) override;
  void on_upstream_drained() override;
  [[nodiscard]] bool wants_upstream_body() const override;

 private:
  enum class State : std::uint8_t { Idle, Connecting, Streaming };

  void route();
  // `path`: normalised. False: it is served over plain HTTP after all.
  bool redirect_to_https(std::string_view path);
  void choose_endpoint();
  void use_addresses(const std::vector<net::Address>& addresses);
  void await_name(const config::Endpoint& endpoint);
  void try_endpoint(const net::Address& address);
  bool policy_for_now(std::shared_ptr<const tls::UpstreamPolicy>& policy);
  void send_request();
  bool may_retry(const Error& error) const;
  void answer(Reason reason, std::string_view detail, int status);
  void answer_status(int status, std::string_view extra);
  void drop_connection();
  void note_connection();
  void finish(bool cut);
  void report(bool cut);

  Context& context_;
  ClientSide* client_ = nullptr;
  ClientFacts facts_;
  State state_ = State::Idle;
  SnapshotHolder::Pin snapshot_;
  const route::HostEntry* host_ = nullptr;
  const config::Route* route_ = nullptr;
  std::size_t route_index_ = 0;
  upstream::Connection* connection_ = nullptr;
  std::vector<net::Address> tried_;
  std::uint64_t serial_ = 0;  // tells late answers of the resolver from this exchange's
  std::shared_ptr<Exchange*> self_ = std::make_shared<Exchange*>(this);
  int tries_ = 0;
  bool request_complete_ = false;
  bool request_sent_ = false;  // the head went to the connection that we have
  bool request_body_sent_ = false;
  bool head_sent_ = false;  // the client has the response's head
  bool fresh_ = false;      // the next try is made on a new connection

  // For the record.
  std::array<char, 32> request_id_{};
  Monotonic started_;
  std::int64_t unix_milliseconds_ = 0;
  int status_ = 0;
  int upstream_status_ = 0;
  std::uint64_t request_bytes_ = 0;
  std::uint64_t response_bytes_ = 0;
  Reason reason_ = Reason::Ok;
  std::string detail_;
  std::string upstream_address_;
  bool upstream_reused_ = false;
  upstream::TlsFacts upstream_tls_;
  std::shared_ptr<const pki::Identity> presented_;
  std::string path_scratch_;
  std::string host_scratch_;
};

}  // namespace handfast::session
