#pragma once
// A client's connection whose bytes are relayed as they are: of a TCP port, or of a host whose TLS
// passes through. Its exchange is a tunnel from the start.
//
//   Relaying (nothing is read until the backend is there) -> Ending (all is sent, then) -> Closed
//                                                         -> Breaking (it has all, then reset) ->
//
// The two directions end each by itself. Nothing is read while the backend has no room. If the
// backend breaks off, the client gets what there is and then a reset: it must not pass for the
// whole.
//
// Threading: one worker's. Ownership: the SessionOwner's; ends itself through it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "proxy/base/buffer.h"
#include "proxy/event/loop.h"
#include "proxy/net/stream.h"
#include "proxy/session/context.h"
#include "proxy/session/exchange.h"
#include "proxy/session/session.h"

namespace handfast::session {

class RelaySession final : public Session, public event::RoundEnd, public ClientSide {
 public:
  // `tcp_port`: 0 for TLS that passes through, then to `server_name`. `idle`: for which the client
  // may take nothing of what is there for it.
  RelaySession(Context& context, SessionOwner& owner, ClientConnection connection,
               std::uint16_t tcp_port, std::string server_name, std::chrono::milliseconds idle);
  ~RelaySession() override;

  // Once its owner has it and the loop knows it.
  void start();
  // As a tunnel: it ends by itself, or with the time that a drain has.
  void drain() override {}
  void cut() override;
  [[nodiscard]] tls::TlsStream* tls() override { return tls_; }

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

  void send_informational(const http::ResponseHead& /*head*/) override {}
  void send_head(const http::ResponseHead& /*head*/,
                 std::string_view /*strict_transport*/) override {}
  void send_body(std::string_view payload) override;
  void send_tunnel_end() override;
  void send_own_response(const OwnResponse& /*response*/) override {}  // it is only closed
  void on_exchange_done(const http::HeaderList& trailers) override;
  void on_exchange_cut(bool cancelled) override;
  [[nodiscard]] bool has_room() const override;
  void resume_request_body() override { pump(); }

 private:
  enum class State : std::uint8_t { Relaying, Ending, Breaking, Closed };

  void pump();
  bool read_some();
  void break_off();
  void on_timeout();
  void close();

  Context& context_;
  SessionOwner& owner_;
  ClientConnection connection_;
  tls::TlsStream* tls_;  // of connection_, if it is TLS
  std::uint16_t tcp_port_;
  std::string server_name_;
  std::chrono::milliseconds idle_;
  event::Timer timer_;  // armed while the client has something to take
  Monotonic patience_;  // Breaking: until then
  Exchange exchange_;
  State state_ = State::Relaying;
  bool pumping_ = false;
  bool client_ended_ = false;
  bool backend_ended_ = false;
  bool above_mark_ = false;
};

}  // namespace handfast::session
