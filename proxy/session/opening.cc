#include "proxy/session/opening.h"

#include <sys/epoll.h>

#include <utility>

#include "proxy/session/h1_session.h"
#include "proxy/session/h2_session.h"

namespace handfast::session {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

ClientFacts ClientConnection::facts() const {
  ClientFacts facts;
  facts.address = address;
  if (tls == nullptr) return facts;
  facts.tls = true;
  facts.tls_version = SSL_get_version(tls->ssl());
  facts.tls_cipher = SSL_get_cipher_name(tls->ssl());
  facts.server_name = tls->server_name();
  return facts;
}

Opening::Opening(Context& context, SessionOwner& owner, std::unique_ptr<net::Stream> stream,
                 tls::TlsStream* tls, const net::Address& peer)
    : context_(context),
      owner_(owner),
      connection_{std::move(stream), tls, peer.ip(), Buffer(context.buffers)},
      timer_(context.loop.timers(), [this] { close(); }),
      state_(tls == nullptr ? State::Preface : State::Handshaking) {}

Opening::~Opening() = default;

Status Opening::start() {
  const auto limit = connection_.tls == nullptr ? context_.limits.head : context_.limits.handshake;
  timer_.set(context_.loop.now() + limit);
  return context_.loop.add(connection_.stream->socket().fd(), *this);
}

void Opening::on_event(std::uint32_t events) {
  if (state_ == State::Over) return;
  connection_.stream->socket().note_events(events);
  if (state_ == State::Handshaking) {
    advance_handshake();
  } else {
    read_preface();
  }
}

void Opening::advance_handshake() {
  const tls::TlsStream::State state = connection_.tls->advance_handshake();
  const net::FlushState flushed = connection_.stream->flush();
  if (state == tls::TlsStream::State::Failed || flushed == net::FlushState::Failed) {
    close();
    return;
  }
  if (state == tls::TlsStream::State::Open) hand_over(connection_.tls->alpn() == "h2");
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
    if (read.substr(0, both) != kPreface.substr(0, both)) {
      hand_over(/*http2=*/false);
      return;
    }
    if (both == kPreface.size()) {
      hand_over(/*http2=*/true);
      return;
    }
  }
}

void Opening::hand_over(bool http2) {
  state_ = State::Over;
  timer_.cancel();
  http2 ? hand_over_to<H2Session>() : hand_over_to<H1Session>();
}

template <class Next>
void Opening::hand_over_to() {
  const int fd = connection_.stream->socket().fd();
  auto next = std::make_unique<Next>(context_, owner_, std::move(connection_));
  Next& session = *next;
  context_.loop.rebind(fd, session);
  owner_.on_session_replaced(*this, std::move(next));
  session.start();
}

void Opening::drain() {
  if (state_ == State::Preface && connection_.in.empty()) close();
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
