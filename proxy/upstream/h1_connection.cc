#include "proxy/upstream/h1_connection.h"

#include <sys/epoll.h>

#include <utility>

#include "proxy/base/check.h"
#include "proxy/upstream/pool.h"

namespace handfast::upstream {
namespace {

constexpr std::size_t kReadSize = BufferPool::kBlockSize;
// nginx's upstream-keepalive-requests: bounds what one connection can accumulate.
constexpr std::uint64_t kMaxRequests = 10'000;

constexpr std::uint32_t kAllButWritable = ~std::uint32_t{EPOLLOUT};

}  // namespace

H1Connection::H1Connection(Pool& pool, Established established)
    : Connection(pool, std::move(established), [this] { on_timeout(); }), in_(pool.buffers_) {}

H1Connection::~H1Connection() = default;

void H1Connection::hand_to(ChannelUser& user) {
  timer_.cancel();
  user_ = &user;
  reused_ = requests_ > 0;
}

void H1Connection::on_event(std::uint32_t events) {
  if (closed_) return;
  stream_->socket().note_events(events);
  if (!busy_) {
    if (user_ == nullptr && (events & kAllButWritable) != 0) on_idle_event();
    return;
  }
  if ((events & EPOLLOUT) != 0 && stream_->queued() > 0) pool_.loop_.at_round_end(*this);
  if (!request_flushed_ && (events & kAllButWritable) != 0) {
    on_event_before_request();
  } else {
    pump();
  }
}

void H1Connection::begin(const ChannelRequest& request) {
  check(!busy_ && user_ != nullptr);
  busy_ = true;
  phase_ = Phase::Head;
  method_.assign(request.head.method);
  read_timeout_ = request.read_timeout;
  send_timeout_ = request.send_timeout;
  parser_.reset();
  informational_ = 0;
  request_flushed_ = false;
  request_ended_ = request.head.framing == http::Framing::None;
  chunked_request_ = request.head.framing == http::Framing::Chunked;
  upgrade_wanted_ = !request.head.upgrade.empty();
  ++requests_;
  std::string& scratch = pool_.scratch_;
  scratch.clear();
  http::append_request_head(scratch, request.head, request.forward);
  send(scratch);
  arm(send_timeout_);
}

void H1Connection::begin_tunnel(std::chrono::milliseconds idle) {
  check(!busy_ && user_ != nullptr && requests_ == 0);
  busy_ = true;
  tunnel_ = true;
  phase_ = Phase::Tunnel;
  read_timeout_ = send_timeout_ = idle;
  request_flushed_ = true;  // the backend may speak first
  ++requests_;
  arm(idle);
}

void H1Connection::send(std::string_view bytes) {
  if (!active() || send_failed_) return;
  stream_->write(bytes);
  if (stream_->queued() > kSendMark) above_mark_ = true;
  pool_.loop_.at_round_end(*this);
}

void H1Connection::send_body(std::string_view payload) {
  if (payload.empty()) return;
  if (!chunked_request_) {
    send(payload);
    if (tunnel_) arm(read_timeout_);  // either direction keeps a tunnel alive
    return;
  }
  std::string& scratch = pool_.scratch_;
  scratch.clear();
  http::append_chunk(scratch, payload);
  send(scratch);
}

void H1Connection::end_body(const http::HeaderList& trailers) {
  request_ended_ = true;
  if (tunnel_) {
    stream_->end_write();
    pool_.loop_.at_round_end(*this);
    return;
  }
  if (!chunked_request_) return;
  std::string& scratch = pool_.scratch_;
  scratch.clear();
  http::append_last_chunk(scratch, trailers);
  send(scratch);
}

bool H1Connection::has_room() const {
  return active() && (send_failed_ || stream_->queued() <= kSendMark);
}

void H1Connection::on_round_end() {
  if (!active() || send_failed_) return;
  const std::size_t before = stream_->queued();
  const net::FlushState flushed = stream_->flush();
  if (before > 0) request_flushed_ = true;
  if (leaving_ && flushed != net::FlushState::WouldBlock) {
    pool_.close(*this);
    return;
  }
  if (flushed == net::FlushState::Failed) {
    // A backend may answer and close before it has read everything, and a TLS backend says why it
    // refused us in an alert: read before judging.
    send_failed_ = true;
    stream_->socket().note_events(EPOLLIN | EPOLLRDHUP);
    pump();
    if (!active()) return;
    if (phase_ == Phase::Head) {
      fail(stream_->failure());
    } else if (std::exchange(above_mark_, false)) {
      user_->on_upstream_drained();  // what it adds goes nowhere
    }
    return;
  }
  if (stream_->queued() < before) arm_for_progress();
  if (above_mark_ && !leaving_ && stream_->queued() <= kSendMark / 2) {
    above_mark_ = false;
    user_->on_upstream_drained();
  }
}

// Reads and hands on what there is, until the backend has no more or the user has no room. What
// comes before the request went out is no answer to it.
void H1Connection::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (active() && phase_ != Phase::Finished && request_flushed_) {
    bool more = false;
    switch (phase_) {
      case Phase::Head:
        more = pump_head();
        break;
      case Phase::Body:
        more = pump_body();
        break;
      case Phase::Tunnel:
        more = pump_tunnel();
        break;
      case Phase::Finished:
        break;
    }
    if (more) continue;
    if (!active() || phase_ == Phase::Finished) break;
    if (phase_ != Phase::Head && !user_->wants_upstream_body()) break;
    if (!read_more()) break;
  }
  pumping_ = false;
  // TLS may have answered by itself: an alert, a key update.
  if (active() && stream_->queued() > 0) pool_.loop_.at_round_end(*this);
}

// One step; true: made progress without reading.
bool H1Connection::pump_head() {
  if (in_.empty()) return false;
  const http::ParseResult result = parser_.parse(in_.view(), method_, head_);
  if (result.status == http::ParseStatus::Incomplete) return false;
  if (result.status == http::ParseStatus::Bad) {
    malformed_ = true;
    fail({Reason::BadResponse, "the backend's response: " + std::string(result.error)});
    return false;
  }
  const bool upgraded = head_.status == 101 && upgrade_wanted_;
  const bool informational = head_.status < 200 && !upgraded;
  if ((head_.status == 101 && !upgraded) ||
      (informational && ++informational_ > kMaxInformational)) {
    fail({Reason::BadResponse, head_.status == 101 ? "an upgrade that nobody asked for"
                                                   : "too many informational responses"});
    return false;
  }
  if (upgraded) {
    keep_alive_ = false;
    tunnel_ = true;
    phase_ = Phase::Tunnel;
  } else if (!informational) {
    keep_alive_ = head_.keep_alive;
    body_ = http::BodyDecoder(head_.framing, head_.content_length);
    phase_ = Phase::Body;
  }
  user_->on_upstream_head(head_);
  if (!active()) return false;
  in_.consume(result.consumed);
  parser_.reset();
  return true;
}

bool H1Connection::pump_body() {
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
  if (!active()) return false;
  in_.consume(step.consumed);
  return step.consumed > 0 || body_.done();
}

bool H1Connection::pump_tunnel() {
  if (in_.empty() || !user_->wants_upstream_body()) return false;
  user_->on_upstream_body(in_.view());
  if (!active()) return false;
  in_.clear();
  return true;
}

bool H1Connection::read_more() {
  const std::span<char> space = in_.prepare(in_.empty() ? kReadSize : 1024);
  const net::IoResult result = stream_->read(space);
  switch (result.state) {
    case net::IoState::Data:
      in_.commit(result.bytes);
      arm_for_progress();
      return true;
    case net::IoState::WouldBlock:
      if (phase_ == Phase::Tunnel) in_.release_if_empty();
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

void H1Connection::on_end_of_stream() {
  keep_alive_ = false;
  if (phase_ == Phase::Tunnel || (phase_ == Phase::Body && body_.end_of_stream_completes())) {
    finish_response();
    return;
  }
  fail({Reason::BadResponse, phase_ == Phase::Head ? "the backend closed before it answered"
                                                   : "the backend closed inside its response"});
}

void H1Connection::finish_response() {
  phase_ = Phase::Finished;
  // Bytes after the end: nobody asked for them, so whose are they?
  if (!in_.empty()) keep_alive_ = false;
  user_->on_upstream_end(body_.trailers());
}

// Whether the backend is there and has sent nothing but TLS records without payload: also bytes
// that lie in the socket or in OpenSSL's buffer, of which no event will tell.
bool H1Connection::is_silent() {
  char byte = 0;
  return stream_->read({&byte, 1}).state == net::IoState::WouldBlock &&
         !stream_->socket().hung_up();
}

// While pooled, the only honest events are a close and TLS records without payload.
void H1Connection::on_idle_event() {
  if (is_silent()) {
    stream_->flush();
  } else {
    pool_.close(*this);
  }
}

// Taken from the pool, or new, and its request still waits for the end of the round.
void H1Connection::on_event_before_request() {
  if (is_silent()) return;
  Error error{Reason::BadResponse, "the backend closed or spoke before it was asked"};
  if (tls_ != nullptr && tls_->state() == tls::TlsStream::State::Failed) error = tls_->failure();
  fail(std::move(error));
}

void H1Connection::release() {
  user_ = nullptr;
  if (tunnel_ && stream_->queued() > 0 && !send_failed_) {
    leaving_ = true;  // the backend ended its side first, and reads on
    arm_for_progress();
    pool_.loop_.at_round_end(*this);
    return;
  }
  const bool pooled = may_be_pooled();
  busy_ = false;
  if (!pooled) {
    pool_.close(*this);
    return;
  }
  in_.release_if_empty();
  stream_->release_memory();
  pool_.keep(*this);
}

bool H1Connection::may_be_pooled() {
  return phase_ == Phase::Finished && keep_alive_ && !send_failed_ && stream_->queued() == 0 &&
         requests_ < kMaxRequests && is_silent();
}

void H1Connection::abandon() {
  // What a tunnel has carried must not pass for the whole.
  if (tunnel_ && !(phase_ == Phase::Finished && request_ended_)) stream_->socket().reset_on_close();
  pool_.close(*this);  // while it is in use: not in order
  user_ = nullptr;
}

void H1Connection::arm_for_progress() {
  arm(stream_->queued() > 0 ? send_timeout_ : read_timeout_);
}

void H1Connection::on_timeout() {
  if (closed_) return;
  if (user_ == nullptr) {
    pool_.close(*this);
    return;
  }
  const bool client_reads_slowly = phase_ != Phase::Head && !user_->wants_upstream_body();
  const bool client_sends_slowly =
      phase_ == Phase::Head && !request_ended_ && stream_->queued() == 0;
  if (client_reads_slowly || client_sends_slowly) {
    arm_for_progress();  // the session has timers for that
    return;
  }
  fail({Reason::ResponseTimeout, facts_.address.to_string() + ": no progress in time"});
}

// The refusal of our certificate after our side of the handshake was done (TLS 1.3): a backend that
// has answered nothing on this connection has acted on nothing either.
bool H1Connection::was_refused_at_once(const Error& error) const {
  return error.reason == Reason::ClientCertificateRejected && requests_ == 1 &&
         phase_ == Phase::Head && informational_ == 0 && in_.empty();
}

std::vector<std::shared_ptr<const tls::UpstreamPolicy>> H1Connection::policies_today(
    const route::Snapshot& newest) const {
  if (user_ == nullptr) return {};
  auto policy = user_->policy_today(newest);
  if (policy == nullptr) return {};
  return {std::move(policy)};
}

void H1Connection::fail(Error error) {
  if (closed_) return;
  if (error.reason == Reason::ClientCertificateRejected) {
    pool_.hooks_.on_handshake({&service_, &facts_.address, true, facts_.tls.resumed, error.reason,
                               nullptr, policy_key_of(facts_.policy.get()), error.detail});
  }
  const bool unprocessed = !request_flushed_ || was_refused_at_once(error);
  pool_.close(*this);
  ChannelUser* const user = std::exchange(user_, nullptr);
  if (user != nullptr) {
    user->on_upstream_failed({std::move(error), unprocessed, malformed_, false, &facts_});
  }
}

}  // namespace handfast::upstream
