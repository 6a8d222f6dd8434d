#include "proxy/upstream/connection.h"

#include <string.h>
#include <sys/epoll.h>

#include <utility>

#include "proxy/base/check.h"
#include "proxy/upstream/pool.h"

namespace handfast::upstream {
namespace {

constexpr std::size_t kReadSize = BufferPool::kBlockSize;
// More 1xx heads than this before a final one is an attack (reliability: hostile backends).
constexpr int kMaxInformational = 10;

}  // namespace

Connection::Connection(Pool& pool, net::Address address, std::string service,
                       std::shared_ptr<const tls::UpstreamPolicy> policy, ConnectionUser& user)
    : pool_(pool),
      user_(&user),
      address_(address),
      service_(std::move(service)),
      policy_(std::move(policy)),
      timer_(pool.loop_.timers(), [this] { on_timeout(); }),
      in_(pool.buffers_),
      started_(pool.loop_.now()) {
  if (policy_ != nullptr) epoch_ = policy_->epoch;
  auto socket = net::Socket::connect(address_);
  if (!socket) {
    early_failure_ = socket.error();
    pool_.loop_.at_round_end(*this);
    return;
  }
  connecting_ = std::move(*socket);
  if (auto added = pool_.loop_.add(connecting_.fd(), *this); !added) {
    early_failure_ = Error{Reason::ConnectRefused, added.error().detail};
    pool_.loop_.at_round_end(*this);
    return;
  }
  arm(pool_.timeouts_.connect);
}

Connection::~Connection() = default;

void Connection::arm(std::chrono::milliseconds after) { timer_.set(pool_.loop_.now() + after); }

void Connection::on_event(std::uint32_t events) {
  switch (state_) {
    case State::Connecting:
      connecting_.note_events(events);
      advance_connect();
      return;
    case State::Handshaking:
      stream_->socket().note_events(events);
      advance_handshake();
      return;
    case State::Ready:
      stream_->socket().note_events(events);
      if (user_ == nullptr && (events & ~std::uint32_t{EPOLLOUT}) != 0) on_idle_event();
      return;
    case State::Busy:
      stream_->socket().note_events(events);
      if ((events & EPOLLOUT) != 0 && stream_->queued() > 0) pool_.loop_.at_round_end(*this);
      if (!request_flushed_ && (events & ~std::uint32_t{EPOLLOUT}) != 0) {
        on_event_before_request();
      } else {
        pump();
      }
      return;
    case State::Closed:
      return;
  }
}

void Connection::advance_connect() {
  if (!connecting_.writable()) return;
  if (const int error = connecting_.take_connect_error(); error != 0) {
    fail({error == ETIMEDOUT ? Reason::ConnectTimeout : Reason::ConnectRefused,
          address_.to_string() + ": " + ::strerror(error)});
    return;
  }
  if (policy_ == nullptr) {
    stream_ = std::make_unique<net::PlainStream>(std::move(connecting_), pool_.buffers_);
    become_ready();
    return;
  }
  auto stream = pool_.tls_.connect(std::move(connecting_), pool_.buffers_, policy_);
  if (!stream) {
    fail(stream.error());
    return;
  }
  tls_ = stream->get();
  stream_ = std::move(*stream);
  state_ = State::Handshaking;
  advance_handshake();
}

void Connection::advance_handshake() {
  const tls::TlsStream::State state = tls_->advance_handshake();
  const net::FlushState flushed = stream_->flush();
  if (state == tls::TlsStream::State::Failed) {
    fail(tls_->failure());
    return;
  }
  if (flushed == net::FlushState::Failed) {
    // The peer hung up; what it said before, an alert perhaps, is read first.
    stream_->socket().note_events(EPOLLIN | EPOLLRDHUP);
    if (tls_->advance_handshake() != tls::TlsStream::State::Open) {
      fail(tls_->failure());
      return;
    }
  }
  if (state == tls::TlsStream::State::Open) {
    note_tls_facts();
    valid_until_ = tls_->verdict().valid_until;
    become_ready();
  }
}

void Connection::note_tls_facts() {
  SSL* ssl = tls_->ssl();
  tls_facts_.version = SSL_get_version(ssl);
  tls_facts_.cipher = SSL_get_cipher_name(ssl);
  tls_facts_.certificate_requested = tls_->certificate_requested();
  if (const X509* peer = tls_->peer(); peer != nullptr) {
    const pki::CertificateInfo info = pki::describe(*peer);
    tls_facts_.peer_subject = info.subject;
    tls_facts_.peer_serial = info.serial;
    if (policy_->verify) peer_not_after_ = info.not_after;
  }
}

void Connection::become_ready() {
  state_ = State::Ready;
  timer_.cancel();
  pool_.hooks_.on_handshake({&service_, &address_, tls_ != nullptr, Reason::Ok});
  user_->on_upstream_ready();
}

void Connection::begin(std::string_view method) {
  check(state_ == State::Ready && user_ != nullptr);
  state_ = State::Busy;
  phase_ = Phase::Head;
  method_.assign(method);
  parser_.reset();
  informational_ = 0;
  request_flushed_ = false;
  ++requests_;
  arm(pool_.timeouts_.transfer);
}

void Connection::send(std::string_view bytes) {
  if (state_ != State::Busy || send_failed_) return;
  stream_->write(bytes);
  if (stream_->queued() > kSendMark) above_mark_ = true;
  pool_.loop_.at_round_end(*this);
}

bool Connection::has_room() const {
  return state_ == State::Busy && (send_failed_ || stream_->queued() <= kSendMark);
}

void Connection::on_round_end() {
  if (early_failure_) {
    fail(*std::exchange(early_failure_, std::nullopt));
    return;
  }
  if (state_ != State::Busy && state_ != State::Ready) return;
  const std::size_t before = stream_->queued();
  const net::FlushState flushed = stream_->flush();
  if (before > 0) request_flushed_ = true;
  if (flushed == net::FlushState::Failed && state_ == State::Busy) {
    // A backend may answer and close before it has read everything, and a TLS backend says why it
    // refused us in an alert: read before judging.
    send_failed_ = true;
    stream_->socket().note_events(EPOLLIN | EPOLLRDHUP);
    pump();
    if (state_ == State::Busy && phase_ == Phase::Head) fail(stream_->failure());
    return;
  }
  if (state_ != State::Busy) return;
  if (stream_->queued() < before) arm(pool_.timeouts_.transfer);
  if (above_mark_ && stream_->queued() <= kSendMark / 2) {
    above_mark_ = false;
    user_->on_upstream_drained();
  }
}

void Connection::resume() { pump(); }

// Reads and hands on what there is, until the backend has no more or the user has no room. What
// comes before the request went out is no answer to it.
void Connection::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (state_ == State::Busy && phase_ != Phase::Finished && request_flushed_) {
    if (phase_ == Phase::Head ? pump_head() : pump_body()) continue;
    if (state_ != State::Busy || phase_ == Phase::Finished) break;
    if (phase_ == Phase::Body && !user_->wants_upstream_body()) break;
    if (!read_more()) break;
  }
  pumping_ = false;
}

// One step; true: made progress without reading.
bool Connection::pump_head() {
  if (in_.empty()) return false;
  const http::ParseResult result = parser_.parse(in_.view(), method_, head_);
  if (result.status == http::ParseStatus::Incomplete) return false;
  if (result.status == http::ParseStatus::Bad) {
    fail({Reason::BadResponse, "the backend's response: " + std::string(result.error)});
    return false;
  }
  const bool informational = head_.status < 200;
  if (head_.status == 101 || (informational && ++informational_ > kMaxInformational)) {
    fail({Reason::BadResponse, head_.status == 101 ? "an upgrade that nobody asked for"
                                                   : "too many informational responses"});
    return false;
  }
  if (!informational) {
    keep_alive_ = head_.keep_alive;
    body_ = http::BodyDecoder(head_.framing, head_.content_length);
    phase_ = Phase::Body;
  }
  user_->on_upstream_head(head_);
  if (state_ != State::Busy) return false;
  in_.consume(result.consumed);
  parser_.reset();
  return true;
}

bool Connection::pump_body() {
  if (body_.done()) {
    finish_response();
    return false;
  }
  if (in_.empty() || !user_->wants_upstream_body()) return false;
  const http::BodyDecoder::Step step = body_.decode(in_.view());
  if (!step.error.empty()) {
    fail({Reason::BadResponse, "the backend's body: " + std::string(step.error)});
    return false;
  }
  if (!step.payload.empty()) user_->on_upstream_body(step.payload);
  if (state_ != State::Busy) return false;
  in_.consume(step.consumed);
  return step.consumed > 0 || body_.done();
}

bool Connection::read_more() {
  const std::span<char> space = in_.prepare(in_.empty() ? kReadSize : 1024);
  const net::IoResult result = stream_->read(space);
  switch (result.state) {
    case net::IoState::Data:
      in_.commit(result.bytes);
      arm(pool_.timeouts_.transfer);
      return true;
    case net::IoState::WouldBlock:
      return false;
    case net::IoState::End:
      on_end_of_stream();
      return false;
    case net::IoState::Failed:
      fail(stream_->failure());
      return false;
  }
  return false;
}

void Connection::on_end_of_stream() {
  keep_alive_ = false;
  if (phase_ == Phase::Body && body_.end_of_stream_completes()) {
    finish_response();
    return;
  }
  fail({Reason::BadResponse, phase_ == Phase::Head ? "the backend closed before it answered"
                                                   : "the backend closed inside its response"});
}

void Connection::finish_response() {
  phase_ = Phase::Finished;
  // Bytes after the end: nobody asked for them, so whose are they?
  if (!in_.empty()) keep_alive_ = false;
  user_->on_upstream_end();
}

// Whether the backend is there and has sent nothing but TLS records without payload: also bytes
// that lie in the socket or in OpenSSL's buffer, of which no event will tell.
bool Connection::is_silent() {
  char byte = 0;
  return stream_->read({&byte, 1}).state == net::IoState::WouldBlock &&
         !stream_->socket().hung_up();
}

// While pooled, the only honest events are a close and TLS records without payload.
void Connection::on_idle_event() {
  if (is_silent()) {
    stream_->flush();
  } else {
    pool_.close(*this);
  }
}

// Taken from the pool, or new, and its request still waits for the end of the round.
void Connection::on_event_before_request() {
  if (is_silent()) return;
  Error error{Reason::BadResponse, "the backend closed or spoke before it was asked"};
  if (tls_ != nullptr && tls_->state() == tls::TlsStream::State::Failed) error = tls_->failure();
  fail(std::move(error));
}

void Connection::on_timeout() {
  switch (state_) {
    case State::Connecting:
      fail({Reason::ConnectTimeout, address_.to_string() + ": no connection in time"});
      return;
    case State::Handshaking:
      fail({Reason::HandshakeTimeout, address_.to_string() + ": the TLS handshake took too long"});
      return;
    case State::Ready:
      if (user_ == nullptr) pool_.close(*this);
      return;
    case State::Busy:
      if (phase_ == Phase::Body && !user_->wants_upstream_body()) {
        arm(pool_.timeouts_.transfer);  // it is our client who is slow
        return;
      }
      fail({Reason::ResponseTimeout, address_.to_string() + ": no progress in time"});
      return;
    case State::Closed:
      return;
  }
}

void Connection::fail(Error error) {
  if (state_ == State::Closed) return;
  if (state_ == State::Handshaking) note_tls_facts();  // whom we refused, or who refused us
  if (state_ == State::Connecting || state_ == State::Handshaking) {
    pool_.hooks_.on_handshake({&service_, &address_, policy_ != nullptr, error.reason});
  } else if (error.reason == Reason::ClientCertificateRejected) {
    // TLS 1.3: the refusal arrives after our side of the handshake was done.
    pool_.hooks_.on_handshake({&service_, &address_, true, error.reason});
  }
  ConnectionUser* user = std::exchange(user_, nullptr);
  pool_.close(*this);
  if (user != nullptr) user->on_upstream_failed(error);
}

}  // namespace handfast::upstream
