#include "proxy/session/relay_session.h"

#include <sys/epoll.h>

#include <utility>

#include "proxy/net/listener.h"

namespace handfast::session {
namespace {

// Above this many unsent bytes nothing more is read from the backend.
constexpr std::size_t kSendMark = 64 * 1024;
// No event tells that a client's system has confirmed the last byte.
constexpr std::chrono::milliseconds kLookAgain{20};

}  // namespace

RelaySession::RelaySession(Context& context, SessionOwner& owner, ClientConnection connection,
                           std::uint16_t tcp_port, std::string server_name,
                           std::chrono::milliseconds idle)
    : context_(context),
      owner_(owner),
      connection_(std::move(connection)),
      tls_(connection_.tls),
      tcp_port_(tcp_port),
      server_name_(std::move(server_name)),
      idle_(idle),
      timer_(context.loop.timers(), [this] { on_timeout(); }),
      exchange_(context) {}

RelaySession::~RelaySession() = default;

void RelaySession::start() {
  ClientFacts facts = connection_.facts();
  facts.believed = false;  // there are no headers
  if (tls_ == nullptr) facts.server_name = server_name_;
  if (connection_.endpoints.destination.length() == 0) {
    connection_.endpoints.destination = net::local_address(connection_.stream->socket().fd());
  }
  // Where all that the handshake left is a ticket, it is sent now: the backend may wait for the
  // client.
  context_.loop.at_round_end(*this);
  exchange_.start_relay(
      *this, facts,
      {.tcp_port = tcp_port_, .server_name = server_name_, .endpoints = connection_.endpoints});
}

void RelaySession::on_event(std::uint32_t events) {
  if (state_ == State::Closed) return;
  net::Socket& socket = connection_.stream->socket();
  socket.note_events(events);
  // Once our side has ended, the end of the client's looks like a reset: reading tells.
  if (socket.reset() && !backend_ended_) {
    close();
    return;
  }
  if ((events & EPOLLOUT) != 0 && connection_.stream->queued() > 0) {
    context_.loop.at_round_end(*this);
  }
  pump();
}

void RelaySession::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (state_ == State::Relaying && !client_ended_ && exchange_.wants_request_body()) {
    if (!read_some()) break;
  }
  pumping_ = false;
  // TLS may have answered by itself: an alert, a key update.
  if (state_ != State::Closed && connection_.stream->queued() > 0) {
    context_.loop.at_round_end(*this);
  }
}

bool RelaySession::read_some() {
  Buffer& in = connection_.in;
  const net::IoResult result = connection_.stream->read(in.prepare(BufferPool::kBlockSize));
  switch (result.state) {
    case net::IoState::Data:
      in.commit(result.bytes);
      exchange_.on_request_body(in.view());
      in.clear();
      return true;
    case net::IoState::WouldBlock:
      in.release_if_empty();
      return false;
    case net::IoState::End:
      in.release_if_empty();
      client_ended_ = true;
      exchange_.on_request_end(http::no_trailers());
      return false;
    case net::IoState::Failed:
      close();
      return false;
  }
  return false;
}

void RelaySession::send_body(std::string_view payload) {
  connection_.stream->write(payload);
  if (!has_room()) above_mark_ = true;
  context_.loop.at_round_end(*this);
}

void RelaySession::send_tunnel_end() {
  backend_ended_ = true;
  connection_.stream->end_write();
  context_.loop.at_round_end(*this);
}

bool RelaySession::has_room() const { return connection_.stream->queued() <= kSendMark; }

void RelaySession::on_round_end() {
  if (state_ == State::Closed) return;
  net::Stream& stream = *connection_.stream;
  const std::size_t before = stream.queued();
  const net::FlushState flushed = stream.flush();
  if (flushed == net::FlushState::Failed) {
    close();
    return;
  }
  if (state_ == State::Breaking) {
    break_off();
    return;
  }
  if (stream.queued() == 0) {
    timer_.cancel();
    stream.release_memory();
    if (state_ == State::Ending) {
      close();
      return;
    }
  } else if (stream.queued() < before || !timer_.armed()) {
    timer_.set(context_.loop.now() + idle_);
  }
  if (above_mark_ && stream.queued() <= kSendMark / 2) {
    above_mark_ = false;
    exchange_.on_client_room();
  }
}

void RelaySession::on_exchange_done(const http::HeaderList& /*trailers*/) {
  if (state_ != State::Relaying) return;
  state_ = State::Ending;
  if (!std::exchange(backend_ended_, true)) connection_.stream->end_write();
  context_.loop.at_round_end(*this);
}

void RelaySession::on_exchange_cut(bool /*cancelled*/) {
  if (state_ != State::Relaying) return;
  state_ = State::Breaking;
  patience_ = context_.loop.now() + context_.limits.linger;
  context_.loop.at_round_end(*this);
}

void RelaySession::break_off() {
  const net::Stream& stream = *connection_.stream;
  const bool has_all = stream.queued() == 0 && connection_.stream->socket().unconfirmed() == 0;
  if (has_all || context_.loop.now() >= patience_) {
    cut();
  } else {
    timer_.set(context_.loop.now() + kLookAgain);
  }
}

void RelaySession::on_timeout() {
  if (state_ == State::Breaking) {
    break_off();
  } else {
    cut();
  }
}

void RelaySession::cut() {
  connection_.stream->socket().reset_on_close();
  close();
}

void RelaySession::close() {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  timer_.cancel();
  exchange_.abort();
  context_.loop.remove(connection_.stream->socket().fd());
  connection_.stream->socket().close();
  owner_.on_session_closed(*this);
}

}  // namespace handfast::session
