#include "proxy/session/h1_session.h"

#include <sys/epoll.h>

#include <strings.h>

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/http/forwarding.h"

namespace handfast::session {
namespace {

// Above this many unsent bytes nothing more is read from the backend. With a record more it is what
// one send takes, and stays below 128 kB, to which a buffer grows by doubling.
constexpr std::size_t kSendMark = 96 * 1024;
// Pieces from this size go straight to the stream; smaller ones are gathered into one TLS record.
constexpr std::size_t kGatherBelow = 8 * 1024;
// A complete head needs at least this much room behind it for the body to move through.
constexpr std::size_t kBodyRoom = 4 * 1024;
constexpr std::size_t kLingerBytes = 16 * 1024;
constexpr std::size_t kMaxSpareExchanges = 1024;

// A first line of three words of which none names HTTP, in any case: whoever sends that can't read
// an answer in HTTP/1.1, an HTTP/2 client with a damaged preface for one (RFC 9113 3.4).
bool names_another_protocol(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view line = bytes.substr(0, end);
  constexpr std::string_view kName = "HTTP/";
  const auto same = [](char a, char b) { return ::strncasecmp(&a, &b, 1) == 0; };
  return std::ranges::count(line, ' ') == 2 && std::ranges::search(line, kName, same).empty();
}

}  // namespace

H1Session::H1Session(Context& context, SessionOwner& owner, ClientConnection connection)
    : context_(context),
      owner_(owner),
      stream_(std::move(connection.stream)),
      tls_(connection.tls),
      peer_address_(std::move(connection.address)),
      timer_(context.loop.timers(), [this] { on_timeout(); }),
      in_(std::move(connection.in)),
      out_(context.buffers),
      facts_(connection.facts()) {
  facts_.address = peer_address_;
}

H1Session::~H1Session() = default;

void H1Session::start() {
  arm(context_.limits.head);
  // What the handshake left, a ticket, leaves with the answer if a request is there already.
  ticket_waits_ = stream_->queued() > 0;
  pump();
  if (ticket_waits_ && state_ == State::Head) schedule();
}

void H1Session::arm(std::chrono::milliseconds after) { timer_.set(context_.loop.now() + after); }

// For all that is queued: who waits for room is told when there is some.
void H1Session::schedule() {
  if (!has_room()) above_mark_ = true;
  context_.loop.at_round_end(*this);
}

void H1Session::on_event(std::uint32_t events) {
  if (state_ == State::Closed) return;
  stream_->socket().note_events(events);
  // Once our side has ended, the end of the client's looks like a reset: reading tells.
  if (stream_->socket().reset() && !half_ended_) {
    close();  // reset by the client: nobody is left to answer
    return;
  }
  if ((events & EPOLLOUT) != 0 && stream_->queued() > 0 && !ticket_waits_) schedule();
  pump();
}

void H1Session::pump() {
  if (pumping_) return;
  pumping_ = true;
  for (bool more = true; more;) {
    switch (state_) {
      case State::Head:
        more = pump_head();
        break;
      case State::Exchanging:
        more = pump_body();
        break;
      case State::Tunnel:
        more = pump_tunnel();
        break;
      case State::Lingering:
        pump_linger();
        more = false;
        break;
      case State::Closed:
        more = false;
        break;
    }
  }
  pumping_ = false;
  // TLS may have answered by itself: an alert, a key update.
  if (state_ != State::Closed && stream_->queued() > 0 && !ticket_waits_) schedule();
}

// One step; true: try again.
bool H1Session::pump_head() {
  if (end_wanted_) return false;
  if (!has_room()) return false;  // whoever doesn't read our answers gets no more of them
  if (!in_.empty()) {
    if (exchange_ == nullptr) {
      if (context_.spare_exchanges.empty()) {
        exchange_ = std::make_unique<Exchange>(context_);
      } else {
        exchange_ = std::move(context_.spare_exchanges.back());
        context_.spare_exchanges.pop_back();
      }
    }
    http::ParseResult result = parser_.parse(in_.view(), exchange_->head);
    if (result.status == http::ParseStatus::Bad) {
      if (requests_ == 0 && names_another_protocol(in_.view())) {
        report_refusal(context_, facts_, 1, result.http_status, result.error);
        close();
      } else {
        refuse(result.http_status, result.error);
      }
      return false;
    }
    if (result.status == http::ParseStatus::Complete) {
      const bool more_comes =
          exchange_->head.framing != http::Framing::None || !exchange_->head.upgrade.empty();
      if (more_comes && in_.tail().size() < kBodyRoom) {
        in_.prepare(kBodyRoom);  // moves the bytes: the views must be made anew
        parser_.reset();
        result = parser_.parse(in_.view(), exchange_->head);
        check(result.status == http::ParseStatus::Complete);
      }
      start_exchange(result.consumed);
      return true;
    }
  }
  return read_more(in_.prepare(in_.empty() ? BufferPool::kBlockSize : 2048));
}

void H1Session::start_exchange(std::size_t head_size) {
  head_size_ = head_size;
  const http::RequestHead& head = exchange_->head;
  body_ = http::BodyDecoder(head.framing, head.content_length);
  request_complete_ = body_.done();
  const std::uint64_t most = context_.limits.keep_alive_requests;
  const bool last = ++requests_ == most && most != 0;
  keep_alive_ = head.keep_alive && !context_.draining && !last;
  chunked_response_ = until_close_response_ = false;
  state_ = State::Exchanging;
  arm(context_.limits.body);
  exchange_->start(*this, facts_);
  // It may be answered already, and even over; then request_complete_ decided about keep-alive.
  if (state_ == State::Exchanging && exchange_ != nullptr && request_complete_)
    exchange_->on_request_end(http::no_trailers());
}

bool H1Session::pump_body() {
  if (request_complete_ || exchange_ == nullptr || !exchange_->wants_request_body()) return false;
  const std::string_view bytes = in_.view().substr(head_size_);
  if (bytes.empty()) return read_more(in_.tail());
  const http::BodyDecoder::Step step = body_.decode(bytes);
  if (!step.error.empty()) {
    // The backend has part of a request that will never be whole: its connection goes with it.
    const bool answered = exchange_->response_started();
    exchange_->abort(400);
    answered ? close() : send_refusal(400);
    return false;
  }
  exchange_->on_request_body(step.payload);
  if (state_ != State::Exchanging) return true;
  in_.erase(head_size_, step.consumed);
  arm(context_.limits.body);
  if (body_.done()) {
    request_complete_ = true;
    exchange_->on_request_end(body_.trailers());
  }
  return step.consumed > 0;
}

// Bytes as they come, in both directions, until both have ended.
bool H1Session::pump_tunnel() {
  if (exchange_ == nullptr || request_complete_ || !exchange_->wants_request_body()) return false;
  const std::string_view bytes = in_.view().substr(head_size_);
  if (!bytes.empty()) {
    exchange_->on_request_body(bytes);
    if (state_ != State::Tunnel) return true;
    in_.erase(head_size_, bytes.size());
    return true;
  }
  const net::IoResult result = stream_->read(in_.tail());
  if (result.state == net::IoState::Data) {
    in_.commit(result.bytes);
    return true;
  }
  if (result.state == net::IoState::End) {
    request_complete_ = true;
    exchange_->on_request_end(http::no_trailers());
  } else if (result.state == net::IoState::Failed) {
    close();
  }
  return false;
}

bool H1Session::read_more(std::span<char> space) {
  const net::IoResult result = stream_->read(space);
  if (result.state == net::IoState::Data) {
    if (in_.empty() && state_ == State::Head) arm(context_.limits.head);
    in_.commit(result.bytes);
    return true;
  }
  if (result.state == net::IoState::WouldBlock) {
    if (state_ == State::Head) in_.release_if_empty();
    return false;
  }
  if (result.state == net::IoState::End && state_ == State::Head &&
      (!out_.empty() || stream_->queued() > 0)) {
    end_wanted_ = true;  // the client has said its last, but not heard ours yet
    return false;
  }
  close();  // in order between requests; in the middle of one there is nobody left to answer
  return false;
}

void H1Session::pump_linger() {
  // Bounded in bytes per round by the socket's buffer and in time by the timer.
  for (;;) {
    in_.clear();
    const net::IoResult result = stream_->read(in_.prepare(kLingerBytes));
    if (result.state == net::IoState::Data) continue;
    if (result.state != net::IoState::WouldBlock) close();
    return;
  }
}

void H1Session::refuse(int status, std::string_view what) {
  report_refusal(context_, facts_, 1, status, what);
  send_refusal(status);
}

void H1Session::send_refusal(int status) {
  keep_alive_ = false;
  std::string& scratch = context_.scratch;
  scratch.clear();
  http::append_own_response(scratch, status, "GET", /*close=*/true, /*client_is_1_0=*/false);
  out_.append(scratch);
  request_complete_ = false;
  end_after_response();
}

void H1Session::send_informational(const http::ResponseHead& head) {
  if (exchange_->head.minor_version == 0) return;  // RFC 9110 section 15.2
  std::string& scratch = context_.scratch;
  scratch.clear();
  http::append_response_head(scratch, head, {});
  out_.append(scratch);
  schedule();
}

void H1Session::send_head(const http::ResponseHead& head, std::string_view strict_transport) {
  const http::RequestHead& request = exchange_->head;
  const bool old_client = request.minor_version == 0;
  const bool unframed =
      head.framing == http::Framing::Chunked || head.framing == http::Framing::UntilClose;
  chunked_response_ = unframed && !old_client;
  until_close_response_ = unframed && old_client;
  // A request that isn't complete when its answer begins leaves bytes that nobody will read.
  if (!request_complete_ || (unframed && old_client) || context_.draining) keep_alive_ = false;
  if (head.status == 101) {
    keep_alive_ = false;
    chunked_response_ = until_close_response_ = false;
    request_complete_ = false;
    state_ = State::Tunnel;
  }
  std::string& scratch = context_.scratch;
  scratch.clear();
  http::append_response_head(scratch, head,
                             {.chunked = chunked_response_,
                              .close = !keep_alive_,
                              .client_is_1_0 = old_client,
                              .strict_transport = strict_transport});
  out_.append(scratch);
  schedule();
}

void H1Session::send_body(std::string_view payload) {
  if (payload.empty()) return;
  if (chunked_response_) {
    std::string& scratch = context_.scratch;
    scratch.clear();
    http::append_chunk(scratch, payload);
    out_.append(scratch);
  } else if (payload.size() >= kGatherBelow) {
    push_out();
    stream_->write(payload);
  } else {
    out_.append(payload);
  }
  schedule();
}

void H1Session::send_tunnel_end() {
  half_ended_ = true;
  push_out();
  stream_->end_write();
  schedule();
}

void H1Session::send_own_response(const OwnResponse& response) {
  const http::RequestHead& request = exchange_->head;
  if (!request_complete_) keep_alive_ = false;
  std::string& scratch = context_.scratch;
  scratch.clear();
  http::append_own_response(scratch, response.status, request.method, !keep_alive_,
                            request.minor_version == 0, response.extra, response.strict_transport);
  out_.append(scratch);
  chunked_response_ = false;
  schedule();
}

void H1Session::on_exchange_done(const http::HeaderList& trailers) {
  if (chunked_response_) {
    std::string& scratch = context_.scratch;
    scratch.clear();
    const bool wanted = exchange_->head.takes_trailers;
    http::append_last_chunk(scratch, wanted ? trailers : http::no_trailers());
    out_.append(scratch);
    chunked_response_ = false;
  }
  schedule();
  if (!request_complete_) keep_alive_ = false;
  if (!keep_alive_) {
    end_after_response();
    return;
  }
  next_request();
  pump();
}

void H1Session::next_request() {
  in_.consume(head_size_);
  head_size_ = 0;
  parser_.reset();
  state_ = State::Head;
  give_back_exchange();
  arm(has_room() ? context_.limits.keep_alive : context_.limits.send);
}

void H1Session::on_exchange_cut(bool /*cancelled*/) {
  // The response can't be completed; only an end without the last chunk or byte tells the client.
  push_out();
  stream_->flush();
  if (until_close_response_) stream_->socket().reset_on_close();
  close();
}

void H1Session::end_after_response() {
  give_back_exchange();
  if (request_complete_) {
    in_.consume(head_size_);
    head_size_ = 0;
  }
  end_wanted_ = true;
  state_ = State::Head;  // until everything is sent
  arm(context_.limits.send);
  schedule();
}

bool H1Session::has_room() const { return stream_->queued() + out_.size() <= kSendMark; }

void H1Session::push_out() {
  if (out_.empty()) return;
  stream_->write(out_.view());
  out_.clear();
}

void H1Session::on_round_end() {
  if (state_ == State::Closed) return;
  ticket_waits_ = false;
  push_out();
  // With the last bytes, where they go in one piece.
  if (end_wanted_ && !std::exchange(end_queued_, true)) stream_->end_write();
  const std::size_t before = stream_->queued();
  const net::FlushState flushed = stream_->flush();
  if (flushed == net::FlushState::Failed) {
    close();
    return;
  }
  if (stream_->queued() > 0) {
    if (before != stream_->queued() || !timer_.armed()) arm(context_.limits.send);
  } else {
    on_flushed();
  }
  if (state_ != State::Closed && above_mark_ && stream_->queued() <= kSendMark / 2) {
    above_mark_ = false;
    if (exchange_ != nullptr) exchange_->on_client_room();
    pump();  // requests that waited for room
  }
}

void H1Session::on_flushed() {
  if (end_wanted_) {
    end_wanted_ = false;
    // With unread bytes in the socket, closing would reset what was just sent.
    if (request_complete_ && in_.empty() && !stream_->socket().readable()) {
      close();
      return;
    }
    state_ = State::Lingering;
    arm(context_.limits.linger);
    pump();
    return;
  }
  if (state_ == State::Head && in_.empty()) {
    out_.release_if_empty();
    in_.release_if_empty();
    stream_->release_memory();
  }
}

void H1Session::on_timeout() {
  switch (state_) {
    case State::Head:
      if (stream_->queued() == 0 && !in_.empty() && !end_wanted_) {
        refuse(408, "the request's head didn't end in time");
        return;
      }
      close();
      return;
    case State::Exchanging:
      if (ticket_waits_) {
        schedule();
        arm(context_.limits.body);
        return;
      }
      // Waiting for the client's body, or for it to take the response; else the backend's timers
      // decide and this one goes on.
      if (stream_->queued() > 0) {
        close();
        return;
      }
      if (!request_complete_ && exchange_ != nullptr && exchange_->wants_request_body()) {
        const bool answered = exchange_->response_started();
        exchange_->abort(408);
        answered ? close() : send_refusal(408);
        return;
      }
      arm(context_.limits.body);
      return;
    case State::Tunnel:
      // Bytes that the client doesn't take end it here; silence of both is the channel's limit.
      if (stream_->queued() > 0) close();
      return;
    case State::Lingering:
      close();
      return;
    case State::Closed:
      return;
  }
}

void H1Session::drain() {
  if (state_ == State::Head && in_.empty() && !end_wanted_ && stream_->queued() == 0) {
    stream_->end_write();
    stream_->flush();
    close();
  } else {
    keep_alive_ = false;
  }
}

void H1Session::give_back_exchange() {
  if (exchange_ == nullptr) return;
  if (context_.spare_exchanges.size() < kMaxSpareExchanges) {
    context_.spare_exchanges.push_back(std::move(exchange_));
  }
  exchange_.reset();
}

void H1Session::close() {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  timer_.cancel();
  if (exchange_ != nullptr) {
    exchange_->abort();
    give_back_exchange();
  }
  context_.loop.remove(stream_->socket().fd());
  stream_->socket().close();
  owner_.on_session_closed(*this);
}

}  // namespace handfast::session
