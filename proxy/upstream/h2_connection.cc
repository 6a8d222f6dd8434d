#include "proxy/upstream/h2_connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/upstream/pool.h"

namespace handfast::upstream {
namespace {

constexpr std::size_t kReadSize = BufferPool::kBlockSize;
// Frames of one round that are written as one piece; above this the rest waits for the socket.
constexpr std::size_t kFlushMark = 64 * 1024;
constexpr std::uint64_t kMaxRequests = 100'000;  // of one connection
// With those of the 127 streams that may still be open then, fewer than what any peer minds: Netty
// takes 200 resets in half a minute, others a thousand, or half of 500 streams. No answer makes up
// for a reset, since peers count them by time; a handshake for 64 cancelled requests is cheap.
constexpr int kMaxResets = 64;

}  // namespace

H2Channel::H2Channel(H2Connection& connection, ChannelUser& user)
    : connection_(connection),
      user_(&user),
      in_(connection.pool_.buffers_),
      timer_(connection.pool_.loop_.timers(), [this] { on_timeout(); }),
      reused_(connection.requests_ > 0) {}

H2Channel::~H2Channel() = default;

const PeerFacts& H2Channel::peer() const { return connection_.facts_; }

void H2Channel::begin_tunnel(std::chrono::milliseconds /*idle*/) {
  check(false, "TCP goes over connections of its own");
}

void H2Channel::begin(const ChannelRequest& request) {
  read_timeout_ = request.read_timeout;
  send_timeout_ = request.send_timeout;
  request_ended_ = request.head.framing == http::Framing::None;
  ++connection_.requests_;
  auto& fields = connection_.fields_;
  fields.clear();
  connection_.storage_.clear();
  http::forward_request_fields(fields, connection_.storage_, request.head, request.forward);
  // Ours, not the client's, which X-Forwarded-Proto tells: servers refuse what their transport
  // contradicts.
  const std::string_view scheme = connection_.facts_.policy == nullptr ? "http" : "https";
  auto stream = connection_.codec_.send_request(request.head, scheme, fields, request_ended_);
  connection_.schedule();
  if (!stream) {  // told at the end of the round: its user doesn't expect it from within begin()
    refused_ = true;
    connection_.going_away_ = true;
    return;
  }
  stream_ = connection_.begun_ = *stream;
  arm();
}

// While something waits to be sent, for that; else for the backend.
void H2Channel::arm() {
  const bool sending = connection_.codec_.queued(stream_) > 0;
  timer_.set(connection_.pool_.loop_.now() + (sending ? send_timeout_ : read_timeout_));
}

std::uint64_t H2Channel::drawn() const { return sent_ - connection_.codec_.queued(stream_); }

void H2Channel::send_body(std::string_view payload) {
  if (payload.empty() || stream_ == 0 || user_ == nullptr) return;
  const bool all_was_sent = connection_.codec_.queued(stream_) == 0;
  connection_.codec_.send_body(stream_, payload);
  sent_ += payload.size();
  if (all_was_sent) arm();
  above_mark_ = above_mark_ || !has_room();
  connection_.schedule();
}

void H2Channel::end_body(const http::HeaderList& trailers) {
  if (stream_ == 0 || request_ended_) return;
  request_ended_ = true;
  connection_.codec_.send_end(stream_, trailers.items());
  // The answer is due now; a body that is taken slowly makes the timer look again.
  timer_.set(connection_.pool_.loop_.now() + read_timeout_);
  connection_.schedule();
}

bool H2Channel::has_room() const {
  return stream_ != 0 && connection_.codec_.queued(stream_) <= kSendMark;
}

void H2Channel::release() {
  user_ = nullptr;
  connection_.close_channel(*this);
}

void H2Channel::abandon() {
  user_ = nullptr;
  if (stream_ != 0 && !(ended_ && request_ended_)) {
    connection_.reset(stream_, http::H2Error::Cancel);
  }
  connection_.close_channel(*this);
}

void H2Channel::on_data(std::string_view payload) {
  arm();
  if (in_.empty() && !pumping_ && user_->wants_upstream_body()) {
    connection_.codec_.consume(stream_, payload.size());
    user_->on_upstream_body(payload);
    return;
  }
  in_.append(payload);
}

void H2Channel::on_end(const http::HeaderList& trailers) {
  ended_ = true;
  if (!trailers.items().empty()) {
    trailers_ = std::make_unique<http::TrailerSection>();
    for (const http::Header& field : trailers.items()) trailers_->add(field);
  }
  pump();
}

void H2Channel::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (user_ != nullptr && !in_.empty() && user_->wants_upstream_body()) {
    const std::size_t size = in_.size();
    user_->on_upstream_body(in_.view());
    if (user_ == nullptr) break;
    in_.consume(size);
    connection_.codec_.consume(stream_, size);
    connection_.schedule();
  }
  pumping_ = false;
  if (user_ == nullptr || !in_.empty() || !ended_ || end_told_) return;
  end_told_ = true;
  timer_.cancel();
  user_->on_upstream_end(trailers_ == nullptr ? http::no_trailers() : trailers_->list());
}

void H2Channel::on_timeout() {
  if (user_ == nullptr) return;
  const bool client_reads_slowly = head_seen_ && !user_->wants_upstream_body();
  const bool waiting = connection_.codec_.queued(stream_) > 0;
  // Once the answer has begun, silence of both is the backend's.
  const bool client_sends_slowly = !request_ended_ && !head_seen_ && !waiting;
  const bool backend_takes_some = waiting && drawn() != drawn_then_;
  if (client_reads_slowly || client_sends_slowly || backend_takes_some) {
    drawn_then_ = drawn();
    arm();  // the session has timers for the client
    return;
  }
  // Not this stream alone: whatever is behind it would wait as long.
  if (connection_.pool_.loop_.now() - connection_.heard_ >= read_timeout_) {
    connection_.going_away_ = true;
  }
  connection_.reset(stream_, http::H2Error::Cancel);
  fail({Reason::ResponseTimeout, connection_.facts_.address.to_string() + ": no progress in time"},
       /*unprocessed=*/false);
}

// The stream is over already, or reset.
void H2Channel::fail(Error error, bool unprocessed, bool cancelled) {
  ChannelUser* const user = std::exchange(user_, nullptr);
  connection_.close_channel(*this);
  if (user != nullptr) {
    user->on_upstream_failed({.error = std::move(error),
                              .unprocessed = unprocessed,
                              .stream_alone = !connection_.over(),
                              .peer = &connection_.facts_,
                              .cancelled = cancelled});
  }
}

H2Connection::H2Connection(Pool& pool, Established established, std::optional<std::size_t> guess)
    : Connection(pool, std::move(established), [this] { on_timeout(); }),
      codec_(http::H2Codec::Role::Client, *this, {}),
      plain_(pool.buffers_),
      settings_timer_(pool.loop_.timers(), [this] { on_settings_timeout(); }),
      guess_(guess),
      heard_(pool.loop_.now()) {
  arm(pool.limits_.idle);
  schedule();  // the preface
}

H2Connection::~H2Connection() = default;

bool H2Connection::spent() const noexcept {
  return over() || going_away_ || requests_ >= kMaxRequests || resets_ >= kMaxResets;
}

std::size_t H2Connection::room() const {
  if (spent()) return 0;
  std::size_t unborn = 0;  // handed out, and not begun
  for (const auto& channel : channels_) unborn += channel->stream_ == 0 ? 1 : 0;
  std::size_t free = codec_.free_streams();
  if (!codec_.stream_limit()) {
    const std::size_t most = guess_.value_or(1);
    free = std::min(free, most - std::min(most, codec_.open_streams()));
  }
  return free > unborn ? free - unborn : 0;
}

// Not for what the connection before was allowed, which is most likely the answer. Who asks between
// the SETTINGS and the end of the round, when those before are served, waits behind them.
bool H2Connection::may_be_waited_for() const {
  if (spent()) return false;
  return codec_.stream_limit() ? !waiting_.empty() : guess_.value_or(0) == 0;
}

void H2Connection::wait(ChannelUser& user) {
  timer_.cancel();
  if (!settings_timer_.armed()) settings_timer_.set(pool_.loop_.now() + connect_timeout_);
  waiting_.push_back(user);
}

void H2Connection::fail_waiting(const Error& error) {
  settings_timer_.cancel();
  while (!waiting_.empty()) {
    ChannelUser& user = waiting_.front();
    user.unlink();
    user.on_upstream_failed({error, /*unprocessed=*/true, false, !over(), &facts_});
  }
}

void H2Connection::on_settings_timeout() {
  going_away_ = true;
  fail_waiting({facts_.policy == nullptr ? Reason::ConnectTimeout : Reason::HandshakeTimeout,
                facts_.address.to_string() + ": no HTTP/2 SETTINGS in time"});
  if (!closed_ && !in_use()) pool_.close(*this);
}

void H2Connection::on_h2_settings() {
  pool_.on_stream_limit(*this, *codec_.stream_limit());
  // One who takes none at all is of no use: the next connection may find it otherwise.
  if (*codec_.stream_limit() == 0) going_away_ = true;
  schedule();
}

H2Channel& H2Connection::open(ChannelUser& user) {
  timer_.cancel();
  auto channel = std::make_unique<H2Channel>(*this, user);
  channel->slot_ = channels_.size();
  channels_.push_back(std::move(channel));
  return *channels_.back();
}

void H2Connection::close_channel(H2Channel& channel) {
  channel.timer_.cancel();
  const std::size_t slot = channel.slot_;
  check(slot < channels_.size() && channels_[slot].get() == &channel);
  pool_.loop_.defer_delete(std::move(channels_[slot]));
  if (slot + 1 != channels_.size()) {
    channels_[slot] = std::move(channels_.back());
    channels_[slot]->slot_ = slot;
  }
  channels_.pop_back();
  if (!closed_) pool_.on_channel_closed(*this);
}

void H2Connection::reset(http::H2StreamId stream, http::H2Error error) {
  codec_.reset(stream, error);
  ++resets_;
  schedule();
}

void H2Connection::schedule() { pool_.loop_.at_round_end(*this); }

H2Channel* H2Connection::find(http::H2StreamId stream) {
  // Few at a time, and the newest are the busiest.
  for (auto channel = channels_.rbegin(); channel != channels_.rend(); ++channel) {
    if ((*channel)->stream_ == stream) return channel->get();
  }
  return nullptr;
}

void H2Connection::on_event(std::uint32_t events) {
  if (over()) return;
  stream_->socket().note_events(events);
  if ((events & EPOLLOUT) != 0) schedule();
  read_all();
}

void H2Connection::read_all() {
  if (reading_) return;
  reading_ = true;
  Buffer in(pool_.buffers_);
  while (!over()) {
    const std::span<char> space = in.prepare(kReadSize);
    const net::IoResult result = stream_->read(space);
    if (result.state == net::IoState::WouldBlock) break;
    if (result.state != net::IoState::Data) {
      const bool in_order = result.state == net::IoState::End;
      fail(in_order ? Error{Reason::BadResponse, "the backend closed the connection"}
                    : stream_->failure());
      break;
    }
    heard_ = pool_.loop_.now();
    const Status fed = codec_.feed({space.data(), result.bytes});
    if (!fed && !over()) fail(fed.error());
    if (!over() && codec_.wants_produce()) schedule();
  }
  reading_ = false;
}

void H2Connection::fail_refused() {
  for (std::size_t i = 0; i < channels_.size();) {
    if (channels_[i]->refused_) {
      channels_[i]->fail({Reason::BadResponse, "the connection takes no more streams"},
                         /*unprocessed=*/true);
      i = 0;  // its user may have opened and closed others
    } else {
      ++i;
    }
  }
}

void H2Connection::on_round_end() {
  if (over()) return;
  if (going_away_) {
    fail_refused();
    if (!over()) fail_waiting({Reason::BadResponse, "the connection takes no more streams"});
  } else if (codec_.stream_limit() && settings_timer_.armed()) {
    settings_timer_.cancel();
    pool_.serve_waiting(*this);
    if (!over() && !in_use()) pool_.on_channel_closed(*this);
  }
  if (over()) return;
  if (going_away_ && !in_use()) arm(std::chrono::milliseconds(0));
  while (stream_->queued() < kFlushMark && codec_.wants_produce()) {
    codec_.produce(plain_, kReadSize);
    if (plain_.empty()) break;
    stream_->write(plain_.view());
    plain_.clear();
  }
  plain_.release_if_empty();
  written_ = begun_;
  if (stream_->flush() == net::FlushState::Failed) {
    stream_->socket().note_events(EPOLLIN | EPOLLRDHUP);
    read_all();  // an alert that says why, or answers that came before the end
    if (!over()) fail(stream_->failure());
    return;
  }
  if (stream_->queued() == 0) {
    if (codec_.wants_produce()) schedule();
    stream_->release_memory();
  }
  if (codec_.finished()) fail({Reason::BadResponse, "the backend ended the connection"});
}

void H2Connection::on_timeout() {
  if (!closed_ && !in_use()) pool_.close(*this);
}

std::vector<std::shared_ptr<const tls::UpstreamPolicy>> H2Connection::policies_today(
    const route::Snapshot& newest) const {
  std::vector<std::shared_ptr<const tls::UpstreamPolicy>> policies;
  for (const auto& channel : channels_) {
    if (channel->user_ == nullptr) continue;
    auto policy = channel->user_->policy_today(newest);
    if (policy == nullptr || std::ranges::find(policies, policy) != policies.end()) continue;
    policies.push_back(std::move(policy));
  }
  return policies;
}

void H2Connection::fail(Error error) {
  if (over()) return;
  going_away_ = true;  // nobody who is told begins anew on it
  const bool rejected = error.reason == Reason::ClientCertificateRejected;
  if (rejected) {
    // TLS 1.3: the refusal arrives after our side of the handshake was done.
    pool_.hooks_.on_handshake({&service_, &facts_.address, true, facts_.tls.resumed, error.reason,
                               nullptr, policy_key_of(facts_.policy.get()), error.detail});
  }
  if (codec_.failed()) {
    codec_.produce(plain_, kFlushMark);  // a GOAWAY that says why
    stream_->write(plain_.view());
    stream_->flush();
  }
  lost_ = true;
  pool_.cut_off(*this);
  for (std::size_t i = 0; i < channels_.size();) {
    H2Channel& channel = *channels_[i];
    if (channel.ended_) {
      ++i;
      continue;
    }
    // Who refused us before any answer has acted on nothing.
    const bool unprocessed =
        channel.stream_ == 0 || channel.stream_ > written_ || (rejected && !answered_);
    channel.fail(error, unprocessed);
    i = 0;  // its user may have closed others
  }
  fail_waiting(error);
  if (channels_.empty()) pool_.close(*this);
}

void H2Connection::on_h2_response(http::H2StreamId stream, const http::ResponseHead& head) {
  answered_ = true;
  H2Channel* const channel = find(stream);
  if (channel == nullptr || channel->user_ == nullptr) return;
  if (head.status >= 200) {
    channel->head_seen_ = true;
  } else if (++channel->informational_ > Channel::kMaxInformational) {
    reset(stream, http::H2Error::EnhanceYourCalm);
    channel->fail({Reason::BadResponse, "too many informational responses"},
                  /*unprocessed=*/false);
    return;
  }
  channel->arm();
  channel->user_->on_upstream_head(head);
}

void H2Connection::on_h2_data(http::H2StreamId stream, std::string_view payload) {
  H2Channel* const channel = find(stream);
  if (channel != nullptr && channel->user_ != nullptr) {
    channel->on_data(payload);
  } else {
    codec_.consume(stream, payload.size());
  }
}

void H2Connection::on_h2_end(http::H2StreamId stream, const http::HeaderList& trailers) {
  H2Channel* const channel = find(stream);
  if (channel != nullptr && channel->user_ != nullptr) channel->on_end(trailers);
}

void H2Connection::on_h2_closed(http::H2StreamId stream, http::H2Error error) {
  H2Channel* const channel = find(stream);
  // Whole already: what its user hasn't taken yet still waits in the channel.
  if (channel == nullptr || channel->user_ == nullptr || channel->ended_) return;
  channel->fail({Reason::BadResponse, "the backend reset the stream: error " +
                                          std::to_string(static_cast<std::uint32_t>(error))},
                error == http::H2Error::RefusedStream, error == http::H2Error::Cancel);
}

void H2Connection::on_h2_drained(http::H2StreamId stream) {
  H2Channel* const channel = find(stream);
  if (channel == nullptr || channel->user_ == nullptr) return;
  channel->arm();
  if (!std::exchange(channel->above_mark_, false)) return;
  channel->user_->on_upstream_drained();
}

void H2Connection::on_h2_goaway(http::H2StreamId /*last*/, http::H2Error /*error*/) {
  going_away_ = true;
  schedule();
}

}  // namespace handfast::upstream
