#include "proxy/session/h2_session.h"

#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "proxy/http/forwarding.h"
#include "proxy/http/grpc.h"
#include "proxy/http/http_date.h"

namespace handfast::session {
namespace {

constexpr std::size_t kReadSize = 16 * 1024;
// Frames are made until the stream holds this much.
constexpr std::size_t kFlushMark = 64 * 1024;
constexpr std::size_t kMaxSpareStreams = 16;
// How long a drain waits for the round trip that shows that its notice has arrived.
constexpr std::chrono::milliseconds kNotice{1'000};
// Without a stream for so long, a connection gives back the memory for them.
constexpr std::chrono::milliseconds kQuiet{250};
// More than what may have been on its way isn't read any more.
constexpr std::size_t kLingerBytes = 256 * 1024;

}  // namespace

H2Session::H2Session(Context& context, SessionOwner& owner, ClientConnection connection)
    : context_(context),
      owner_(owner),
      stream_(std::move(connection.stream)),
      tls_(connection.tls),
      peer_address_(std::move(connection.address)),
      facts_(connection.facts()),
      timer_(context.loop.timers(), [this] { on_timeout(); }),
      send_timer_(context.loop.timers(), [this] { close(); }),
      codec_(http::H2Codec::Role::Server, *this, {}),
      in_(std::move(connection.in)),
      out_(context.buffers) {
  facts_.address = peer_address_;
}

H2Session::~H2Session() = default;

void H2Session::start() {
  rest(context_.limits.head);
  schedule();  // our settings
  if (context_.draining) drain();
  if (!feed(in_.view())) return;
  in_.clear();
  in_.release_if_empty();
  read_all();
}

void H2Session::schedule() { context_.loop.at_round_end(*this); }

std::vector<std::unique_ptr<H2ClientStream>>::iterator H2Session::position(
    http::H2StreamId stream) {
  return std::lower_bound(streams_.begin(), streams_.end(), stream,
                          [](const std::unique_ptr<H2ClientStream>& one, http::H2StreamId id) {
                            return one->id() < id;
                          });
}

H2ClientStream* H2Session::find(http::H2StreamId stream) {
  const auto at = position(stream);
  return at != streams_.end() && (*at)->id() == stream ? at->get() : nullptr;
}

H2ClientStream& H2Session::open(http::H2StreamId stream) {
  std::unique_ptr<H2ClientStream> opened;
  if (spares_.empty()) {
    opened = std::make_unique<H2ClientStream>(*this);
  } else {
    opened = std::move(spares_.back());
    spares_.pop_back();
  }
  return **streams_.insert(position(stream), std::move(opened));
}

void H2Session::on_h2_request(http::H2StreamId stream, const http::RequestHead& head) {
  if (state_ == State::Open) timer_.cancel();
  if (++requests_ == context_.limits.keep_alive_requests) drain();
  open(stream).begin(stream, head);
}

// Without a page: it may have been HEAD.
void H2Session::on_h2_bad_request(http::H2StreamId stream, int status, std::string_view what) {
  report_refusal(context_, facts_, 2, status, what);
  if (codec_.asks_in_grpc(stream)) {
    send_grpc_error(stream, http::grpc_status_of(status));
    return;
  }
  fields_.clear();
  fields_.push_back({"date", http::http_date_now(), http::HeaderId::Date});
  codec_.send_head(stream, status, fields_, /*end=*/true);
}

void H2Session::send_grpc_error(http::H2StreamId stream, int code) {
  storage_ = std::to_string(code);
  fields_.clear();
  fields_.push_back({"content-type", "application/grpc", http::HeaderId::Other});
  fields_.push_back({"grpc-status", storage_, http::HeaderId::Other});
  codec_.send_head(stream, 200, fields_, /*end=*/true);
  schedule();
}

void H2Session::on_h2_data(http::H2StreamId stream, std::string_view payload) {
  if (H2ClientStream* const one = find(stream); one != nullptr) one->on_data(payload);
}

void H2Session::on_h2_end(http::H2StreamId stream, const http::HeaderList& trailers) {
  if (H2ClientStream* const one = find(stream); one != nullptr) one->on_end(trailers);
}

void H2Session::on_h2_drained(http::H2StreamId stream) {
  if (H2ClientStream* const one = find(stream); one != nullptr) one->on_drained();
}

void H2Session::on_h2_closed(http::H2StreamId stream, http::H2Error /*error*/) {
  const auto at = position(stream);
  if (at == streams_.end() || (*at)->id() != stream) return;
  std::unique_ptr<H2ClientStream> closed = std::move(*at);
  streams_.erase(at);
  closed->on_closed();
  if (spares_.size() < kMaxSpareStreams) spares_.push_back(std::move(closed));
  if (!streams_.empty()) return;
  if (state_ == State::Open) rest(context_.limits.keep_alive);
  if (state_ == State::Leaving) timer_.set(context_.loop.now() + context_.limits.linger);
}

void H2Session::on_h2_goaway(http::H2StreamId /*last*/, http::H2Error /*error*/) { schedule(); }

void H2Session::on_h2_pong() {
  if (state_ == State::Noticed) leave();
}

void H2Session::on_event(std::uint32_t events) {
  if (state_ == State::Closed) return;
  stream_->socket().note_events(events);
  if (stream_->socket().reset()) {
    close();
    return;
  }
  if ((events & EPOLLOUT) != 0 && stream_->queued() > 0) schedule();
  state_ == State::Lingering ? read_out() : read_all();
}

// False: over.
bool H2Session::feed(std::string_view bytes) {
  codec_.set_now(context_.loop.now());
  const Status fed = codec_.feed(bytes);
  if (codec_.wants_produce()) schedule();
  if (fed) return true;
  push_out();  // a GOAWAY that says why
  linger();
  return false;
}

void H2Session::read_all() {
  if (reading_) return;
  reading_ = true;
  Buffer in(context_.buffers);
  while (state_ < State::Lingering) {
    const std::span<char> space = in.prepare(kReadSize);
    const net::IoResult result = stream_->read(space);
    if (result.state == net::IoState::WouldBlock) break;
    if (result.state != net::IoState::Data) {
      close();  // nobody is left to answer
      break;
    }
    feed({space.data(), result.bytes});
  }
  reading_ = false;
  // TLS may have answered by itself: an alert, a key update.
  if (state_ != State::Closed && stream_->queued() > 0) schedule();
}

// While lingering: nothing is understood any more.
void H2Session::read_out() {
  Buffer in(context_.buffers);
  for (;;) {
    const net::IoResult result = stream_->read(in.prepare(kReadSize));
    if (result.state == net::IoState::WouldBlock) return;
    lingered_ += result.bytes;
    if (result.state == net::IoState::Data && lingered_ <= kLingerBytes) continue;
    close();
    return;
  }
}

void H2Session::push_out() {
  while (stream_->queued() < kFlushMark && codec_.wants_produce()) {
    codec_.produce(out_, kReadSize);
    if (out_.empty()) break;
    stream_->write(out_.view());
    out_.clear();
  }
  out_.release_if_empty();
}

void H2Session::on_round_end() {
  if (state_ == State::Closed) return;
  push_out();
  const std::size_t before = stream_->queued();
  if (stream_->flush() == net::FlushState::Failed) {
    close();
    return;
  }
  if (stream_->queued() > 0) {
    if (before != stream_->queued() || !send_timer_.armed()) {
      send_timer_.set(context_.loop.now() + context_.limits.send);
    }
    return;
  }
  send_timer_.cancel();
  if (state_ == State::Lingering) return;
  if (codec_.finished()) {
    linger();
  } else if (codec_.wants_produce()) {
    schedule();
  } else if (streams_.empty()) {
    stream_->release_memory();
  }
}

void H2Session::drain() {
  if (state_ != State::Open) return;
  state_ = State::Noticed;
  codec_.send_goaway(/*last=*/false);
  codec_.send_ping();
  timer_.set(context_.loop.now() + kNotice);
  schedule();
}

void H2Session::leave() {
  state_ = State::Leaving;
  timer_.cancel();
  // A head that has begun and doesn't end is no stream for us, but one for the codec.
  if (streams_.empty()) timer_.set(context_.loop.now() + context_.limits.linger);
  codec_.send_goaway(/*last=*/true);
  schedule();
}

// Everything is said.
void H2Session::linger() {
  if (codec_.flood() != http::H2Flood::None) context_.observer.on_http2_flood(codec_.flood());
  abort_all();
  state_ = State::Lingering;
  timer_.set(context_.loop.now() + context_.limits.linger);
  stream_->end_write();
  stream_->flush();  // before a client that has ended its side closes all
  schedule();
  read_out();
}

void H2Session::rest(std::chrono::milliseconds limit) {
  rests_until_ = context_.loop.now() + limit;
  timer_.set(std::min(rests_until_, context_.loop.now() + kQuiet));
}

void H2Session::on_timeout() {
  switch (state_) {
    case State::Open:  // idle, or nothing has come at all
      if (context_.loop.now() < rests_until_) {
        spares_.clear();
        codec_.release_memory();
        timer_.set(rests_until_);
        return;
      }
      [[fallthrough]];
    case State::Noticed:
      leave();
      return;
    case State::Leaving:
    case State::Lingering:
      close();
      return;
    case State::Closed:
      return;
  }
}

void H2Session::abort_all() {
  for (const auto& stream : streams_) stream->on_closed();
  streams_.clear();
}

void H2Session::close() {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  timer_.cancel();
  send_timer_.cancel();
  abort_all();
  context_.loop.remove(stream_->socket().fd());
  stream_->socket().close();
  owner_.on_session_closed(*this);
}

}  // namespace handfast::session
