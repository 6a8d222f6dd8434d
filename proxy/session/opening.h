#pragma once
// The beginning of a client's connection, until it is known what it speaks.
//
//   [ProxyHeader] -> Handshaking (TLS) or Preface (plain: HTTP/2 by prior knowledge or HTTP/1.1?)
//                 -> the session
//
// A peer whose PROXY header we believe must begin with one, and then is the client that it tells
// of; one from anybody else closes the connection. It is looked at where it lies and taken out of
// the socket alone, so that nothing of what follows is read too early.
//
// With TLS, ALPN says it. Without, the first bytes do: an HTTP/2 client begins with a preface that
// no HTTP/1.1 request can begin with (RFC 9113 section 3.4).
//
// Threading: one worker's. Ownership: the SessionOwner's.

#include "proxy/net/proxy_protocol.h"
#include "proxy/session/context.h"
#include "proxy/session/session.h"

namespace handfast::session {

class Opening final : public Session {
 public:
  // `tls`: `stream` if it is TLS, else null.
  Opening(Context& context, SessionOwner& owner, std::unique_ptr<net::Stream> stream,
          tls::TlsStream* tls, const net::Address& peer);
  ~Opening() override;

  // Registers with the loop. Failure: out of memory for epoll; close it.
  Status start();

  void on_event(std::uint32_t events) override;
  void drain() override;
  void cut() override { close(); }
  [[nodiscard]] tls::TlsStream* tls() override { return connection_.tls; }

 private:
  enum class State : std::uint8_t { ProxyHeader, Handshaking, Preface, Over };

  void read_proxy_header();
  bool learn_client(const net::ProxyEndpoints& endpoints);
  void arm();
  void advance();
  void advance_handshake();
  void read_preface();
  void hand_over(bool http2);
  template <class Next>
  void hand_over_to();
  void on_timeout();
  void refuse(RefusedConnection why);
  void close();

  Context& context_;
  SessionOwner& owner_;
  ClientConnection connection_;
  event::Timer timer_;
  State state_;
};

}  // namespace handfast::session
