#include "proxy/session/opening.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "proxy/session/h1_session.h"
#include "proxy/session/h2_session.h"
#include "proxy/session/relay_session.h"
#include "proxy/tls/client_hello.h"

namespace handfast::session {
namespace {

constexpr std::size_t kHearOutBytes = 64 * 1024;
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

ClientFacts ClientConnection::facts() const {
  ClientFacts facts;
  facts.address = address;
  facts.believed = believed;
  facts.tls_in_front = tls_in_front;
  if (tls == nullptr) return facts;
  facts.tls = true;
  facts.tls_version = SSL_get_version(tls->ssl());
  facts.tls_cipher = SSL_get_cipher_name(tls->ssl());
  facts.server_name = tls->server_name();
  facts.certificate = tls->client_certificate();
  return facts;
}

Opening::Opening(Context& context, SessionOwner& owner, std::unique_ptr<net::Stream> stream,
                 tls::TlsStream* tls, const net::Address& peer, const route::TcpEntry* tcp)
    : context_(context),
      owner_(owner),
      connection_{.stream = std::move(stream),
                  .tls = tls,
                  .address = peer.ip(),
                  .believed = context.limits.trust.forwarded.contains(peer.ip_bytes()),
                  .in = Buffer(context.buffers),
                  .endpoints = {.source = peer, .destination = {}}},
      tcp_port_(tcp == nullptr ? 0 : tcp->config.port),
      peer_is_believed_(context.limits.trust.proxy_protocol.contains(peer.ip_bytes())),
      timer_(context.loop.timers(), [this] { on_timeout(); }),
      state_(State::ProxyHeader) {
  const bool wants_header = tcp == nullptr ? peer_is_believed_ : tcp->config.expect_proxy_header;
  if (!wants_header) state_ = after_proxy_header();
}

Opening::~Opening() = default;

Opening::State Opening::after_proxy_header() const {
  const bool tls = connection_.tls != nullptr;
  if (tcp_port_ != 0) return tls ? State::Handshaking : State::Relay;
  if (!tls) return State::Preface;
  const bool looks = context_.snapshots.current().passthrough_hosts > 0;
  return looks ? State::ClientHello : State::Handshaking;
}

Status Opening::start() {
  arm();
  return context_.loop.add(connection_.stream->socket().fd(), *this);
}

void Opening::arm() {
  timer_.set(context_.loop.now() +
             (state_ == State::Preface ? context_.limits.head : context_.limits.handshake));
}

void Opening::on_event(std::uint32_t events) {
  if (state_ == State::Over) return;
  connection_.stream->socket().note_events(events);
  advance();
}

void Opening::advance() {
  switch (state_) {
    case State::ProxyHeader:
      read_proxy_header();
      break;
    case State::ClientHello:
      read_client_hello();
      break;
    case State::Handshaking:
      advance_handshake();
      break;
    case State::Preface:
      read_preface();
      break;
    case State::Relay:
      hand_over(/*http2=*/false);
      break;
    case State::Refused:
      read_out();
      break;
    case State::Over:
      break;
  }
}

void Opening::read_proxy_header() {
  net::Socket& socket = connection_.stream->socket();
  std::array<char, net::kMaxProxyHeader> space;
  const net::IoResult seen = socket.peek(space);
  if (seen.state == net::IoState::WouldBlock) return;
  if (seen.state != net::IoState::Data) {
    close();  // a health check that only connects, say
    return;
  }
  const net::ProxyHeader header = net::read_proxy_header({space.data(), seen.bytes});
  if (header.state == net::ProxyHeader::State::Incomplete && !socket.hung_up()) return;
  if (header.state != net::ProxyHeader::State::Complete) {
    refuse(RefusedConnection::ProxyProtocolBad);
    return;
  }
  socket.receive({space.data(), header.consumed});
  if (header.endpoints && !learn_client(*header.endpoints)) return;
  state_ = after_proxy_header();
  arm();
  advance();  // what followed the header is told by no further event
}

// False: closed.
bool Opening::learn_client(const net::ProxyEndpoints& endpoints) {
  // Of a TCP port whose peers we don't believe, the address is told on, and good for nothing here.
  if (peer_is_believed_ && !owner_.admit(*this, endpoints.source)) {
    connection_.stream->socket().reset_on_close();
    close();
    return false;
  }
  connection_.endpoints = endpoints;
  connection_.address = endpoints.source.ip();
  connection_.believed = context_.limits.trust.forwarded.contains(endpoints.source.ip_bytes());
  connection_.tls_in_front = connection_.tls == nullptr &&
                             endpoints.destination.port() == context_.limits.public_https_port;
  return true;
}

void Opening::read_client_hello() {
  net::Socket& socket = connection_.stream->socket();
  std::array<char, tls::kMaxClientHello> space;
  const net::IoResult seen = socket.peek(space);
  if (seen.state == net::IoState::WouldBlock) return;
  if (seen.state != net::IoState::Data) {
    close();
    return;
  }
  const tls::ClientHello hello = tls::read_client_hello({space.data(), seen.bytes});
  if (hello.state == tls::ClientHello::State::Incomplete && !socket.hung_up()) return;
  const route::HostEntry* const host =
      hello.state == tls::ClientHello::State::Complete
          ? context_.snapshots.current().find_passthrough(hello.server_name)
          : nullptr;
  if (host != nullptr) {
    // The TLS that was made ready has seen nothing.
    connection_.stream = std::make_unique<net::PlainStream>(std::move(socket), context_.buffers);
    connection_.tls = nullptr;
    relay(hello.server_name, *host->config.passthrough);
    return;
  }
  state_ = State::Handshaking;
  advance();
}

void Opening::advance_handshake() {
  const tls::TlsStream::State state = connection_.tls->advance_handshake();
  const bool open = state == tls::TlsStream::State::Open;
  // Where all that is left is a ticket, the session sends it, with its first answer perhaps.
  const bool waits = open && connection_.tls->peer_is_done();
  const net::FlushState flushed = waits ? net::FlushState::Done : connection_.stream->flush();
  if (state == tls::TlsStream::State::Failed || flushed == net::FlushState::Failed) {
    if (connection_.tls->failure().reason == Reason::NotTls) {
      owner_.on_refused(RefusedConnection::NotTls);
    }
    const bool has_alert = report_refused() && connection_.stream->queued() == 0;
    has_alert ? hear_out() : close();
    return;
  }
  if (open) hand_over(connection_.tls->alpn() == "h2");
}

// A client that the port asked for a certificate and that failed for it. With HTTP each request
// says so. False: it failed for something else.
bool Opening::report_refused() {
  const tls::TlsStream& stream = *connection_.tls;
  const tls::ClientCertificate* const client = stream.client_certificate();
  if (stream.port() == nullptr || client == nullptr) return false;
  const bool shown = client->leaf() != nullptr;
  if (!shown && stream.failure().reason != Reason::NoClientCertificate) return false;
  const auto denied = deny_by_verdict(*client);
  if (!denied) return false;
  report_refused_client(context_, connection_.facts(), tcp_port_, *denied);
  return true;
}

// The alert has left, but the rest of the client's handshake comes still. Unread it would reset the
// connection, and a client that writes first would never see the alert.
void Opening::hear_out() {
  state_ = State::Refused;
  connection_.stream->socket().shutdown_write();
  timer_.set(context_.loop.now() + context_.limits.linger);
  read_out();
}

void Opening::read_out() {
  std::array<char, 4096> space;
  for (;;) {
    const net::IoResult result = connection_.stream->socket().receive(space);
    if (result.state == net::IoState::WouldBlock) return;
    heard_out_ += result.bytes;
    if (result.state != net::IoState::Data || heard_out_ > kHearOutBytes) {
      close();
      return;
    }
  }
}

void Opening::read_preface() {
  for (;;) {
    const net::IoResult result =
        connection_.stream->read(connection_.in.prepare(BufferPool::kBlockSize / 2));
    if (result.state == net::IoState::WouldBlock) return;
    if (result.state != net::IoState::Data) {
      close();
      return;
    }
    connection_.in.commit(result.bytes);
    const std::string_view read = connection_.in.view();
    const std::size_t both = std::min(read.size(), kPreface.size());
    if (read.substr(0, both) == kPreface.substr(0, both)) {
      if (both < kPreface.size()) continue;
      hand_over(/*http2=*/true);
      return;
    }
    const std::optional<bool> proxied = net::is_proxy_header(read);
    if (!proxied) continue;
    if (*proxied) {
      refuse(RefusedConnection::ProxyProtocolUnexpected);
    } else {
      hand_over(/*http2=*/false);
    }
    return;
  }
}

void Opening::hand_over(bool http2) {
  if (tcp_port_ != 0) {
    const route::TcpEntry* const tcp = context_.snapshots.current().find_tcp(tcp_port_);
    tcp == nullptr ? close() : relay({}, tcp->config.route);
    return;
  }
  http2 ? hand_over_to<H2Session>() : hand_over_to<H1Session>();
}

void Opening::relay(std::string server_name, const config::StreamRoute& route) {
  hand_over_to<RelaySession>(tcp_port_, std::move(server_name),
                             std::chrono::milliseconds(route.idle_timeout_ms));
}

template <class Next, class... Arguments>
void Opening::hand_over_to(Arguments... arguments) {
  state_ = State::Over;
  timer_.cancel();
  const int fd = connection_.stream->socket().fd();
  auto next =
      std::make_unique<Next>(context_, owner_, std::move(connection_), std::move(arguments)...);
  Next& session = *next;
  context_.loop.rebind(fd, session);
  owner_.on_session_replaced(*this, std::move(next));
  session.start();
}

void Opening::drain() {
  const bool silent = state_ == State::Preface && connection_.in.empty();
  if (silent || state_ == State::ProxyHeader) close();
}

void Opening::on_timeout() {
  if (state_ == State::ProxyHeader) {
    refuse(RefusedConnection::ProxyProtocolTimeout);
  } else {
    close();
  }
}

void Opening::refuse(RefusedConnection why) {
  owner_.on_refused(why);
  connection_.stream->socket().reset_on_close();
  close();
}

void Opening::close() {
  if (state_ == State::Over) return;
  state_ = State::Over;
  timer_.cancel();
  context_.loop.remove(connection_.stream->socket().fd());
  connection_.stream->socket().close();
  owner_.on_session_closed(*this);
}

}  // namespace handfast::session
