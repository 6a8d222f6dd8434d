// The backend's side of an exchange: what is sent over the way that was found, and what is tried
// when it fails.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/session/exchange.h"
#include "proxy/upstream/hash_key.h"

namespace handfast::session {
namespace {

// RFC 9110 section 9.2.2; TRACE goes nowhere.
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE";
}

}  // namespace

std::uint64_t Exchange::hash() const {
  if (route_->load_balance != config::LoadBalance::ConsistentHash) return upstream::kNoHash;
  return upstream::hash_key(host_->rules[route_index_].hash_by, {.head = head,
                                                                 .path = path_,
                                                                 .server_name = host_->config.host,
                                                                 .client = facts_.address,
                                                                 .https = https_});
}

upstream::Wire Exchange::wire() const {
  return head.upgrade.empty() ? upstream::wire_of(route_->http2) : upstream::Wire::Http1;
}

void Exchange::choose_endpoint() {
  const bool tls = config::is_tls(route_->protocol);
  upstream_times_.chosen = context_.loop.now();
  attempts_.begin({.service = &route_->service,
                   .upstream_tls = tls ? &route_->upstream_tls : nullptr,
                   .wire = wire(),
                   .connect_timeout = std::chrono::milliseconds(route_->connect_timeout_ms),
                   .algorithm = route_->load_balance,
                   .hash = hash(),
                   .pinned = &*snapshot_,
                   .fresh = relay_,
                   .prelude = prelude_});
  attempts_.next();
}

PolicyToday Exchange::find_policy_today(const route::Snapshot& newest) const {
  const config::Route* now = nullptr;
  if (!relay_) {
    now = newest.find_successor(host_->config.host, path_, *route_);
  } else if (const route::TcpEntry* port = newest.find_tcp(tcp_port_); port != nullptr) {
    now = &port->route;  // TLS that passes through has no port, and none of ours around it
  }
  if (now == nullptr || now->service != route_->service) return {};
  return {&now->upstream_tls, now->refused ? &*now->refused : nullptr};
}

void Exchange::on_no_way(const NoWay& why) {
  if (why.exhausted && reason_ != Reason::Ok) {
    answer(reason_, std::string(detail_),
           http_status(reason_));  // every endpoint failed: the last word
    return;
  }
  if (why.crowded) context_.observer.on_request_refused(RefusedRequest::EndpointConnections);
  answer(why.reason, why.detail, why.status);
}

void Exchange::on_upstream_ready(upstream::Channel& channel) { attempts_.ready(channel); }

void Exchange::on_way(upstream::Channel& channel) { send_request(channel); }

void Exchange::send_request(upstream::Channel& channel) {
  channel_ = &channel;
  state_ = State::Streaming;
  upstream_times_.connected = context_.loop.now();
  upstream_reused_ = channel.reused();
  note_peer(channel.peer());
  if (relay_) {
    open_tunnel(channel);
    return;
  }
  const http::ForwardContext forward = forward_context();
  channel.begin({head, forward, std::chrono::milliseconds(route_->read_timeout_ms),
                 std::chrono::milliseconds(route_->send_timeout_ms)});
  if (request_spool_ == nullptr) {
    // A body of no bytes ended before there was anyone to tell.
    if (request_complete_ && head.framing != http::Framing::None) {
      channel.end_body(http::no_trailers());
    }
    client_->resume_request_body();
  } else {
    request_spool_->rewind();
    request_end_sent_ = false;
    send_spooled_request();
  }
}

// That the endpoint took the connection is all that it owes us; how long the bytes flow says
// nothing of its health. What it has said already is read in an event of its own.
void Exchange::open_tunnel(upstream::Channel& channel) {
  attempts_.finish(upstream::Outcome::Ok);
  state_ = State::Tunnel;
  status_ = 200;
  head_sent_ = true;
  reason_ = Reason::Ok;
  detail_.clear();
  channel.begin_tunnel(std::chrono::milliseconds(route_->read_timeout_ms));
  client_->resume_request_body();
}

void Exchange::note_peer(const upstream::PeerFacts& peer) {
  upstream_tls_ = peer.tls;
  presented_ = peer.policy == nullptr ? nullptr : peer.policy->identity;
}

void Exchange::on_upstream_head(const http::ResponseHead& response) {
  upstream_status_ = response.status;
  const bool upgraded = response.status == 101;
  if (response.status < 200 && !upgraded) {
    client_->send_informational(response);
    return;
  }
  if (tries_another_for(response.status)) {
    attempts_.finish(upstream::Outcome::Failed);
    drop_channel();
    state_ = State::Connecting;
    attempts_.next();
    return;
  }
  upstream_times_.head = context_.loop.now();
  reason_ = Reason::Ok;
  detail_.clear();
  status_ = response.status;
  head_sent_ = true;
  if (upgraded) {
    state_ = State::Tunnel;
    request_complete_ = false;  // the client's direction of the tunnel
  }
  send_head(response);
  if (upgraded) client_->resume_request_body();  // what came behind the request
}

// Whether the request could be sent once more, as far as the client and the budget of time go.
bool Exchange::may_send_again() const {
  const config::RetryPolicy& retry = route_->retry;
  if (head_sent_ || (request_body_sent_ && request_spool_ == nullptr)) return false;
  return retry.timeout_ms == 0 ||
         context_.loop.clock().now() - started_ < std::chrono::milliseconds(retry.timeout_ms);
}

bool Exchange::has_tries_left() const {
  const std::uint32_t most = route_->retry.tries;
  return most == 0 || static_cast<std::uint32_t>(attempts_.counted()) < most;
}

// What may be sent again: only what can't have had an effect, or may have it twice.
bool Exchange::may_retry(const upstream::Failure& failure, bool for_nothing) const {
  const config::RetryPolicy& retry = route_->retry;
  if (!may_send_again()) return false;
  const Reason reason = failure.error.reason;
  const bool timeout = reason == Reason::ConnectTimeout || reason == Reason::HandshakeTimeout ||
                       reason == Reason::ResponseTimeout;
  const bool named = timeout             ? retry.timeout
                     : failure.malformed ? retry.invalid_header
                                         : retry.error;
  if (!for_nothing && !(named && has_tries_left())) return false;
  return failure.unprocessed || retry.non_idempotent || is_idempotent(head.method);
}

// proxy-next-upstream http_5xx: the answer of the last endpoint is passed on all the same.
bool Exchange::tries_another_for(int status) {
  const auto& statuses = route_->retry.statuses;
  if (statuses.empty() || std::ranges::find(statuses, status) == statuses.end()) return false;
  if (!may_send_again() || !has_tries_left()) return false;
  if (!route_->retry.non_idempotent && !is_idempotent(head.method)) return false;
  return attempts_.has_untried();
}

void Exchange::on_upstream_failed(const upstream::Failure& failure) {
  channel_ = nullptr;
  if (failure.crowded) {
    state_ = State::Connecting;
    attempts_.leave();
    return;
  }
  const bool stale = state_ == State::Streaming && attempts_.is_stale(failure);
  const bool for_nothing = attempts_.costs_nothing(failure);
  const bool again = may_retry(failure, for_nothing);
  const bool says_nothing = stale || (for_nothing && again);
  attempts_.finish(says_nothing ? upstream::Outcome::Aborted : upstream::Outcome::Failed);
  note_peer(*failure.peer);
  reason_ = failure.error.reason;
  detail_ = failure.error.detail;
  cancelled_ = failure.cancelled;
  if (state_ == State::Tunnel || head_sent_) {
    finish(/*cut=*/true);
    return;
  }
  if (again) {
    if (for_nothing) attempts_.forgive(failure);
    state_ = State::Connecting;
    attempts_.next();
    return;
  }
  answer(reason_, std::string(detail_), http_status(reason_));
}

}  // namespace handfast::session
