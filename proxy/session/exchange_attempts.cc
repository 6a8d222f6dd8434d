// The backend's side of an exchange: an endpoint, a connection, and what is tried when one fails.

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

// Peers that refuse what they haven't looked at say so to one or two requests at a time, when they
// go away or let fewer streams in; one that goes on is out of order.
constexpr int kMaxReturned = 3;
// Of a Service whose endpoints have all the connections they may, so many are looked at.
constexpr int kMaxCrowded = 64;

}  // namespace

// The Service is looked up in the newest snapshot: endpoints that went away while the exchange
// tried others aren't tried.
void Exchange::choose_endpoint() {
  const route::ServiceEntry* service = context_.snapshots.current().find_service(route_->service);
  if (service == nullptr) service = snapshot_->find_service(route_->service);
  if (service == nullptr) {
    answer(Reason::ServiceMissing, "the Service isn't part of this generation", 503);
    return;
  }
  if (service->config.refused) {
    const config::Refusal& refused = *service->config.refused;
    answer(refused.reason, refused.detail, refusal_status(refused.reason));
    return;
  }
  if (service->config.external_name && !service->config.endpoints.empty()) {
    await_name(service->config.endpoints.front());
    return;
  }
  use_addresses(service->addresses);
}

void Exchange::await_name(const config::Endpoint& endpoint) {
  if (const auto literal = net::Address::from_ip(endpoint.address, endpoint.port); literal) {
    // An ExternalName that is an address is nobody's endpoint list: the same rule as for names.
    use_addresses(literal->is_local_only() ? std::vector<net::Address>{} : std::vector{*literal});
    return;
  }
  // The answer may come when this object serves another request, or is no more.
  const upstream::Addresses addresses =
      context_.resolver.lookup(endpoint.address, endpoint.port,
                               [loop = &context_.loop, self = std::weak_ptr(self_),
                                serial = serial_](upstream::Addresses found) {
                                 loop->post([self, serial, found = std::move(found)] {
                                   const auto alive = self.lock();
                                   if (alive != nullptr && (*alive)->serial_ == serial)
                                     (*alive)->use_addresses(*found);
                                 });
                               });
  if (addresses != nullptr) use_addresses(*addresses);
}

std::uint64_t Exchange::hash() const {
  if (route_->load_balance != config::LoadBalance::ConsistentHash) return upstream::kNoHash;
  return upstream::hash_key(host_->hash_by[route_index_], {.head = head,
                                                           .path = path_,
                                                           .server_name = host_->config.host,
                                                           .client = facts_.address,
                                                           .https = https_});
}

void Exchange::use_addresses(const std::vector<net::Address>& addresses) {
  const upstream::Balancer::Choice choice =
      context_.balancer.pick({.service = route_->service,
                              .addresses = addresses,
                              .tried = tried_,
                              .algorithm = route_->load_balance,
                              .hash = hash()},
                             context_.loop.now());
  if (choice.address == nullptr || crowded_ == kMaxCrowded) {
    answer_without_endpoint();
    return;
  }
  attempt_ = context_.balancer.start(choice, context_.loop.now());
  try_endpoint(*choice.address);
}

void Exchange::answer_without_endpoint() {
  if (reason_ != Reason::Ok) {
    answer(reason_, std::string(detail_),
           http_status(reason_));  // every endpoint failed: the last word
  } else if (crowded_ > 0) {
    context_.observer.on_request_refused(RefusedRequest::EndpointConnections);
    answer(Reason::NoEndpoints,
           "each endpoint has as many connections as it may (--max-connections-per-endpoint)", 503);
  } else {
    answer(Reason::NoEndpoints, "the Service has no endpoint that is ready", 503);
  }
}

void Exchange::leave_endpoint() {
  attempt_ = {};
  --tries_;  // it stays among those that are not tried again
  ++crowded_;
  state_ = State::Connecting;
  choose_endpoint();
}

// The policy as it stands now. False: answered.
bool Exchange::policy_for_now(std::shared_ptr<const tls::UpstreamPolicy>& policy) {
  if (!config::is_tls(route_->protocol)) return true;
  policy = context_.snapshots.current().find_policy(route_->upstream_tls);
  // Its Ingress went away or changed its protocol meanwhile: the exchange ends as it began.
  if (policy == nullptr) policy = snapshot_->find_policy(route_->upstream_tls);
  if (policy == nullptr) {
    answer(Reason::Internal, "the route's TLS policy isn't part of its generation", 503);
    return false;
  }
  if (const Status usable = policy->usable(context_.loop.unix_now()); !usable) {
    answer(usable.error().reason, usable.error().detail, refusal_status(usable.error().reason));
    return false;
  }
  return true;
}

upstream::Wire Exchange::wire() const {
  return head.upgrade.empty() ? upstream::wire_of(route_->http2) : upstream::Wire::Http1;
}

void Exchange::try_endpoint(const net::Address& address) {
  upstream::Target target;
  if (!policy_for_now(target.policy)) return;
  target.address = address;
  target.wire = wire();
  target.connect_timeout = std::chrono::milliseconds(route_->connect_timeout_ms);
  target.prelude = prelude_;
  ++tries_;
  upstream_address_ = target.address;
  tried_.push_back(target.address);
  upstream::Channel* const channel = fresh_ ? nullptr : context_.pool.take(target, *this);
  if (channel != nullptr) {
    send_request(*channel);
  } else if (!context_.pool.connect(target, route_->service, *this)) {
    leave_endpoint();
  }
}

void Exchange::on_upstream_ready(upstream::Channel& channel) {
  channel_ = &channel;
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (!policy_for_now(policy)) return;  // refused meanwhile: answer() has dropped the channel
  const auto& made_under = channel.peer().policy;
  if (policy != nullptr && (policy->key != made_under->key || policy->epoch != made_under->epoch)) {
    const net::Address address = channel.peer().address;
    upstream::Balancer::Attempt attempt = std::move(attempt_);  // it goes on
    drop_channel();
    attempt_ = std::move(attempt);
    --tries_;  // not the endpoint's fault
    tried_.pop_back();
    try_endpoint(address);
    return;
  }
  send_request(channel);
}

void Exchange::send_request(upstream::Channel& channel) {
  channel_ = &channel;
  state_ = State::Streaming;
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
  attempt_.finish(upstream::Outcome::Ok, context_.loop.now());
  state_ = State::Tunnel;
  status_ = 200;
  head_sent_ = true;
  reason_ = Reason::Ok;
  detail_.clear();
  channel.begin_tunnel(std::chrono::milliseconds(route_->read_timeout_ms));
  client_->resume_request_body();
}

void Exchange::note_peer(const upstream::PeerFacts& peer) {
  upstream_address_ = peer.address;
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
    attempt_.finish(upstream::Outcome::Failed, context_.loop.now());
    drop_channel();
    state_ = State::Connecting;
    choose_endpoint();
    return;
  }
  reason_ = Reason::Ok;
  detail_.clear();
  status_ = response.status;
  head_sent_ = true;
  if (upgraded) {
    state_ = State::Tunnel;
    request_complete_ = false;  // the client's direction of the tunnel
  }
  client_->send_head(response);
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
  return most == 0 || static_cast<std::uint32_t>(tries_ - returned_) < most;
}

// A kept-alive connection that the backend closed just now, most likely (RFC 9112 section 9.3.1).
bool Exchange::is_stale(const upstream::Failure& failure) const {
  return state_ == State::Streaming && upstream_reused_ && !failure.malformed &&
         !failure.stream_alone && failure.error.reason == Reason::BadResponse;
}

// Nobody looked at the request (RFC 9113 section 8.7, RFC 9110 section 9.2.2), so that sending it
// again is no retry, whatever the route says of those; how often is limited all the same.
bool Exchange::costs_nothing(const upstream::Failure& failure) const {
  const bool refused = failure.unprocessed && failure.error.reason == Reason::BadResponse;
  return returned_ < kMaxReturned && (refused || is_stale(failure));
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
  const route::ServiceEntry* service = context_.snapshots.current().find_service(route_->service);
  return service != nullptr &&
         std::ranges::any_of(service->addresses, [this](const net::Address& address) {
           return std::ranges::find(tried_, address) == tried_.end();
         });
}

void Exchange::on_upstream_failed(const upstream::Failure& failure) {
  channel_ = nullptr;
  if (failure.crowded) {
    leave_endpoint();
    return;
  }
  const bool for_nothing = costs_nothing(failure);
  const bool again = may_retry(failure, for_nothing);
  const bool says_nothing = is_stale(failure) || (for_nothing && again);
  attempt_.finish(says_nothing ? upstream::Outcome::Aborted : upstream::Outcome::Failed,
                  context_.loop.now());
  note_peer(*failure.peer);
  reason_ = failure.error.reason;
  detail_ = failure.error.detail;
  if (state_ == State::Tunnel) {
    finish(/*cut=*/true);
    return;
  }
  if (head_sent_) {
    finish(/*cut=*/true);
    return;
  }
  if (again) {
    if (for_nothing) {
      // Other connections that were kept alive are most likely as stale as this one. One that
      // refuses a stream may have room again.
      ++returned_;
      fresh_ = fresh_ || !failure.stream_alone || returned_ > 1;
      tried_.pop_back();  // the endpoint isn't to blame
    }
    state_ = State::Connecting;
    choose_endpoint();
    return;
  }
  answer(reason_, std::string(detail_), http_status(reason_));
}

}  // namespace handfast::session
