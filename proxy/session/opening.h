#pragma once
// The beginning of a client's connection, until it is known what it speaks.
//
//   [ProxyHeader] -> [ClientHello] -> Handshaking (TLS) -> the session
//                 -> Preface (plain: HTTP/2 by prior knowledge or HTTP/1.1?) -> the session
//                 -> Relay (a TCP port without TLS) -> the session
//                    Handshaking -> Refused (its certificate; reads on for a moment) -> Over
//
// A peer whose PROXY header we believe must begin with one, and then is the client that it tells
// of; one from anybody else closes the connection. It is looked at where it lies and taken out of
// the socket alone, so that nothing of what follows is read too early.
//
// While some host's TLS passes through, the ClientHello of each connection is looked at, in the
// same way; one that names such a host is relayed as it is.
//
// A TCP port says itself whether its peers begin with a PROXY header, and then all of them must.
//
// With TLS, ALPN says it. Without, the first bytes do: an HTTP/2 client begins with a preface that
// no HTTP/1.1 request can begin with (RFC 9113 section 3.4).
//
// Threading: one worker's. Ownership: the SessionOwner's.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "proxy/net/proxy_protocol.h"
#include "proxy/session/context.h"
#include "proxy/session/session.h"

namespace handfast::session {

class Opening final : public Session {
 public:
  // `tls`: `stream` if it is TLS, else null. `tcp`: of the newest snapshot; null: an HTTP listener.
  Opening(Context& context, SessionOwner& owner, std::unique_ptr<net::Stream> stream,
          tls::TlsStream* tls, const net::Address& peer, const route::TcpEntry* tcp = nullptr);
  ~Opening() override;

  // Registers with the loop. Failure: out of memory for epoll; close it.
  Status start();

  void on_event(std::uint32_t events) override;
  void drain() override;
  void cut() override { close(); }
  [[nodiscard]] tls::TlsStream* tls() override { return connection_.tls; }

 private:
  enum class State : std::uint8_t {
    ProxyHeader,
    ClientHello,
    Handshaking,
    Preface,
    Relay,
    Refused,
    Over
  };

  void read_proxy_header();
  [[nodiscard]] State after_proxy_header() const;
  bool learn_client(const net::ProxyEndpoints& endpoints);
  void arm();
  void advance();
  void read_client_hello();
  void advance_handshake();
  [[nodiscard]] bool report_refused();
  void hear_out();
  void read_out();
  void read_preface();
  void hand_over(bool http2);
  template <class Next, class... Arguments>
  void hand_over_to(Arguments... arguments);
  void relay(std::string server_name, const config::StreamRoute& route);
  void on_timeout();
  void refuse(RefusedConnection why);
  void close();

  Context& context_;
  SessionOwner& owner_;
  ClientConnection connection_;
  std::uint16_t tcp_port_ = 0;  // 0: an HTTP listener
  bool peer_is_believed_;       // what its PROXY header says counts
  event::Timer timer_;
  State state_;
  std::size_t heard_out_ = 0;  // bytes read since Refused
};

}  // namespace handfast::session
