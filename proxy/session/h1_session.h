#pragma once
// One HTTP/1.x client connection, plain or TLS: its requests one after the other, answered in
// order.
//
//   Head -> Exchanging -> Head -> … -> Lingering -> Closed
//             \-> Tunnel (after 101) -> Lingering -> Closed
//
// The head of a request stays at the front of the input buffer while its exchange lasts; body bytes
// behind it are handed on and taken out; bytes of the next request wait there. Nothing is read
// while the exchange has no room or the request is complete: a slow backend slows its client.
//
// After an error that leaves the client's bytes unread, the connection lingers: it ends its own
// side and reads on for a moment, so that the answer isn't lost to a reset (RFC 9112 section 9.6).
//
// Threading: one worker's. Ownership: the SessionOwner's; ends itself through it.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/event/loop.h"
#include "proxy/http/body.h"
#include "proxy/http/h1_parser.h"
#include "proxy/net/stream.h"
#include "proxy/session/context.h"
#include "proxy/session/exchange.h"
#include "proxy/session/session.h"

namespace handfast::session {

class H1Session final : public Session, public event::RoundEnd, public ClientSide {
 public:
  H1Session(Context& context, SessionOwner& owner, ClientConnection connection);
  ~H1Session() override;

  // Once its owner has it and the loop knows it.
  void start();
  void drain() override;
  void cut() override { close(); }
  [[nodiscard]] tls::TlsStream* tls() override { return tls_; }
  void add_guarded_hosts(std::vector<std::string_view>& hosts) const override {
    if (exchange_ != nullptr) exchange_->add_guarded_host(hosts);
  }

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

  void send_informational(const http::ResponseHead& head) override;
  void send_head(const http::ResponseHead& head, std::string_view strict_transport) override;
  void send_body(std::string_view payload) override;
  void send_tunnel_end() override;
  void send_own_response(const OwnResponse& response) override;
  void on_exchange_done(const http::HeaderList& trailers) override;
  void on_exchange_cut(bool cancelled) override;
  [[nodiscard]] bool has_room() const override;
  void resume_request_body() override { pump(); }

 private:
  enum class State : std::uint8_t { Head, Exchanging, Tunnel, Lingering, Closed };

  void pump();
  bool pump_head();
  bool pump_body();
  bool pump_tunnel();
  bool read_more(std::span<char> space);
  void pump_linger();
  void start_exchange(std::size_t head_size);
  void refuse(int status, std::string_view what);
  void send_refusal(int status);
  void next_request();
  void end_after_response();
  void push_out();
  void on_flushed();
  void on_timeout();
  void arm(std::chrono::milliseconds after);
  void schedule();
  void close();
  void give_back_exchange();

  Context& context_;
  SessionOwner& owner_;
  std::unique_ptr<net::Stream> stream_;
  tls::TlsStream* tls_;  // stream_, if it is TLS
  std::string peer_address_;
  event::Timer timer_;
  Buffer in_;
  Buffer out_;  // response bytes of this round, before the stream
  http::H1RequestParser parser_;
  http::BodyDecoder body_;
  std::unique_ptr<Exchange> exchange_;  // while a head or an exchange is under way
  ClientFacts facts_;
  std::size_t head_size_ = 0;  // bytes at the front of in_ that the exchange's views point into
  State state_ = State::Head;
  std::uint64_t requests_ = 0;
  bool pumping_ = false;
  bool request_complete_ = false;
  bool keep_alive_ = true;  // after this response
  bool chunked_response_ = false;
  bool until_close_response_ = false;  // only the end of the connection ends it
  bool above_mark_ = false;
  bool half_ended_ = false;    // of a tunnel: our side
  bool ticket_waits_ = false;  // of the handshake, for the first answer
  bool end_queued_ = false;
  bool end_wanted_ = false;  // close once everything is sent
};

}  // namespace handfast::session
