// The bodies of an exchange: streamed as far as there is room, or buffered where the route says so.

#include <utility>

#include "proxy/base/log.h"
#include "proxy/session/exchange.h"

namespace handfast::session {

bool Exchange::wants_request_body() const {
  if (state_ == State::Collecting) return true;
  if (request_spool_ != nullptr) return false;
  return (state_ == State::Streaming || state_ == State::Tunnel) && channel_ != nullptr &&
         channel_->has_room();
}

void Exchange::on_request_body(std::string_view payload) {
  request_bytes_ += payload.size();
  if (state_ == State::Collecting) {
    collect(payload);
    return;
  }
  if (channel_ == nullptr || payload.empty()) return;
  if (state_ != State::Tunnel && !head_sent_ && !admit_body()) return;
  request_body_sent_ = true;
  channel_->send_body(payload);
}

// What the auth server alone may say isn't taken from behind a body either.
void Exchange::on_request_end(const http::HeaderList& trailers) {
  if (!asked_ || trailers.items().empty()) {
    end_request(trailers);
    return;
  }
  http::TrailerSection passing;
  for (const http::Header& field : trailers.items()) {
    if (!http::is_withheld(field.name, route_->auth->response_headers)) passing.add(field);
  }
  end_request(passing.list());
}

void Exchange::end_request(const http::HeaderList& trailers) {
  request_complete_ = true;
  if (state_ == State::Collecting) {
    end_collecting(trailers);
    return;
  }
  if (channel_ == nullptr) return;
  if (head.framing == http::Framing::None && state_ != State::Tunnel) return;
  request_body_sent_ = true;
  channel_->end_body(trailers);
  if (upstream_ended_) on_upstream_end(http::no_trailers());
}

// The backend isn't asked before the whole request is there (proxy-request-buffering).
void Exchange::begin_collecting() {
  state_ = State::Collecting;
  request_spool_ = std::make_unique<Spool>(context_.buffers, context_.limits.temp_directory);
  if (!head.expect_continue) return;
  head.expect_continue = false;  // answered here: the backend is not to be asked
  http::ResponseHead go_on;
  go_on.status = 100;
  go_on.reason = "Continue";
  client_->send_informational(go_on);
}

void Exchange::collect(std::string_view payload) {
  if (!admit_body()) return;
  if (const Status kept = request_spool_->append(payload); !kept) {
    log(LogLevel::Error, "a request body can't be buffered", {{"error", kept.error().detail}});
    detail_ = "the request body can't be buffered";
    answer_status(500, {});
  }
}

void Exchange::end_collecting(const http::HeaderList& trailers) {
  if (trailers.items().empty()) {
    head.framing = http::Framing::Length;  // as nginx: it is known now
    head.content_length = request_spool_->size();
  } else {
    request_trailers_ = std::make_unique<http::TrailerSection>();
    for (const http::Header& field : trailers.items()) request_trailers_->add(field);
  }
  state_ = State::Connecting;
  choose_endpoint();
}

void Exchange::send_spooled_request() {
  while (channel_ != nullptr && channel_->has_room() && request_spool_->left() > 0) {
    const auto piece = request_spool_->peek();
    if (!piece) {
      detail_ = piece.error().detail;
      answer_status(500, {});
      return;
    }
    request_body_sent_ = true;
    channel_->send_body(*piece);
    request_spool_->consume(piece->size());
  }
  if (channel_ == nullptr || request_spool_->left() > 0 || request_end_sent_) return;
  request_end_sent_ = true;
  channel_->end_body(request_trailers_ == nullptr ? http::no_trailers()
                                                  : request_trailers_->list());
}

void Exchange::drop_spools() {
  request_spool_.reset();
  response_spool_.reset();
  request_trailers_.reset();
  response_trailers_.reset();
}

void Exchange::on_client_room() {
  if (response_spool_ != nullptr && !send_spooled_response()) return;
  if (channel_ != nullptr) channel_->resume();
}

void Exchange::on_upstream_drained() {
  if (request_spool_ != nullptr) {
    send_spooled_request();
  } else {
    client_->resume_request_body();
  }
}

bool Exchange::wants_upstream_body() const {
  if (state_ == State::Tunnel || !route_->response_buffering) return client_->has_room();
  const std::uint64_t most = Spool::kMemory + route_->max_temp_bytes;
  return response_spool_ == nullptr || response_spool_->left() < most;
}

void Exchange::on_upstream_body(std::string_view payload) {
  response_bytes_ += payload.size();
  if (state_ == State::Tunnel || !route_->response_buffering ||
      (client_->has_room() && (response_spool_ == nullptr || response_spool_->left() == 0))) {
    client_->send_body(payload);
    return;
  }
  // The backend is done with us sooner than the client with it (proxy-buffering).
  if (response_spool_ == nullptr) {
    response_spool_ = std::make_unique<Spool>(context_.buffers, context_.limits.temp_directory);
  }
  if (const Status kept = response_spool_->append(payload); !kept) {
    log(LogLevel::Error, "a response body can't be buffered", {{"error", kept.error().detail}});
    finish(/*cut=*/true);
    return;
  }
  send_spooled_response();  // there may be room for what waits before it
}

// False: the exchange is over.
bool Exchange::send_spooled_response() {
  while (client_->has_room() && response_spool_->left() > 0) {
    const auto piece = response_spool_->peek();
    if (!piece) {
      finish(/*cut=*/true);
      return false;
    }
    client_->send_body(*piece);
    response_spool_->consume(piece->size());
  }
  if (response_spool_->left() > 0) return true;
  response_spool_->forget();
  if (!response_complete_) return true;
  const auto trailers = std::move(response_trailers_);
  finish(/*cut=*/false, trailers == nullptr ? http::no_trailers() : trailers->list());
  return false;
}

void Exchange::on_upstream_end(const http::HeaderList& trailers) {
  if (state_ == State::Tunnel && !request_complete_) {
    upstream_ended_ = true;
    client_->send_tunnel_end();
    return;
  }
  upstream_times_.end = context_.loop.now();
  attempts_.finish(upstream::Outcome::Ok);
  upstream::Channel& channel = *std::exchange(channel_, nullptr);
  const auto give_back = [&channel, complete = request_complete_] {
    // It would wait for a body that won't come.
    complete ? channel.release() : channel.abandon();
  };
  // The client's next request may come from within finish() and use the same connection; trailers
  // are the channel's, so with some it goes after the client has them.
  const bool plain = trailers.items().empty();
  if (response_spool_ != nullptr && response_spool_->left() > 0) {
    response_complete_ = true;
    if (!plain) {
      response_trailers_ = std::make_unique<http::TrailerSection>();
      for (const http::Header& field : trailers.items()) response_trailers_->add(field);
    }
    give_back();
    return;
  }
  if (plain) give_back();
  finish(/*cut=*/false, plain ? http::no_trailers() : trailers);
  if (!plain) give_back();
}

}  // namespace handfast::session
