#include "proxy/session/attempts.h"

#include <algorithm>
#include <utility>

namespace handfast::session {
namespace {

// Peers that refuse what they haven't looked at say so to one or two requests at a time, when they
// go away or let fewer streams in; one that goes on is out of order.
constexpr int kMaxReturned = 3;
// Of a Service whose endpoints have all the connections they may, so many are looked at.
constexpr int kMaxCrowded = 64;

}  // namespace

std::shared_ptr<const tls::UpstreamPolicy> AttemptUser::policy_today(
    const route::Snapshot& newest) const {
  const PolicyToday today = find_policy_today(newest);
  return today.upstream_tls == nullptr ? nullptr : newest.find_policy(*today.upstream_tls);
}

Attempts::~Attempts() { cancel(); }

void Attempts::begin(const Destination& destination) {
  to_ = destination;
  tried_.clear();
  ++serial_;
  tries_ = returned_ = crowded_ = 0;
  sent_ = reused_ = false;
  fresh_ = destination.fresh;
  address_ = {};
}

void Attempts::next() {
  const route::ServiceEntry* service = context_.snapshots.current().find_service(*to_.service);
  if (service == nullptr) service = to_.pinned->find_service(*to_.service);
  if (service == nullptr) {
    user_.on_no_way({.reason = Reason::ServiceMissing,
                     .detail = "the Service isn't part of this generation",
                     .status = 503});
    return;
  }
  if (service->config.refused) {
    const config::Refusal& refused = *service->config.refused;
    user_.on_no_way({.reason = refused.reason,
                     .detail = refused.detail,
                     .status = refusal_status(refused.reason)});
    return;
  }
  if (service->config.external_name && !service->config.endpoints.empty()) {
    await_name(service->config.endpoints.front());
    return;
  }
  use_addresses(service->addresses);
}

void Attempts::await_name(const config::Endpoint& endpoint) {
  if (const auto literal = net::Address::from_ip(endpoint.address, endpoint.port); literal) {
    // An ExternalName that is an address is nobody's endpoint list: the same rule as for names.
    use_addresses(context_.resolver.admit(*literal));
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

void Attempts::use_addresses(const std::vector<net::Address>& addresses) {
  const upstream::Balancer::Choice choice = context_.balancer.pick({.service = *to_.service,
                                                                    .addresses = addresses,
                                                                    .tried = tried_,
                                                                    .algorithm = to_.algorithm,
                                                                    .hash = to_.hash},
                                                                   context_.loop.now());
  if (choice.address != nullptr && crowded_ < kMaxCrowded) {
    attempt_ = context_.balancer.start(choice, context_.loop.now());
    try_endpoint(*choice.address);
    return;
  }
  const bool crowded = crowded_ > 0;
  user_.on_no_way({.reason = Reason::NoEndpoints,
                   .detail = crowded ? "each endpoint has as many connections as it may "
                                       "(--max-connections-per-endpoint)"
                                     : "the Service has no endpoint that is ready",
                   .status = 503,
                   .exhausted = true,
                   .crowded = crowded});
}

// Nothing and no policy: the request ends as it began.
std::optional<NoWay> Attempts::find_successor(
    const route::Snapshot& newest, std::shared_ptr<const tls::UpstreamPolicy>& policy) const {
  if (&newest == to_.pinned) return std::nullopt;
  const PolicyToday today = user_.find_policy_today(newest);
  // A request that began without TLS has nothing that could be taken from it.
  if (today.refused != nullptr && to_.upstream_tls != nullptr) {
    return NoWay{.reason = today.refused->reason,
                 .detail = today.refused->detail,
                 .status = refusal_status(today.refused->reason)};
  }
  if (today.upstream_tls != nullptr) policy = newest.find_policy(*today.upstream_tls);
  return std::nullopt;
}

// The policy as it stands now, unless it is refused.
std::optional<NoWay> Attempts::find_policy(
    std::shared_ptr<const tls::UpstreamPolicy>& policy) const {
  const route::Snapshot& newest = context_.snapshots.current();
  if (to_.upstream_tls != nullptr) policy = newest.find_policy(*to_.upstream_tls);
  if (policy == nullptr) {
    if (auto refused = find_successor(newest, policy)) return refused;
  }
  if (policy == nullptr && to_.upstream_tls == nullptr) return std::nullopt;
  // Its Ingress went away or changed its protocol meanwhile.
  if (policy == nullptr) policy = to_.pinned->find_policy(*to_.upstream_tls);
  if (policy == nullptr) {
    return NoWay{.reason = Reason::Internal,
                 .detail = "the route's TLS policy isn't part of its generation",
                 .status = 503};
  }
  if (const Status usable = policy->usable(context_.loop.unix_now()); !usable) {
    const Error& error = usable.error();
    return NoWay{
        .reason = error.reason, .detail = error.detail, .status = refusal_status(error.reason)};
  }
  return std::nullopt;
}

void Attempts::try_endpoint(const net::Address& address) {
  sent_ = false;
  upstream::Target target;
  if (const auto refused = find_policy(target.policy)) {
    user_.on_no_way(*refused);
    return;
  }
  target.address = address;
  target.wire = to_.wire;
  target.connect_timeout = to_.connect_timeout;
  target.prelude = to_.prelude;
  ++tries_;
  address_ = target.address;
  tried_.push_back(target.address);
  upstream::Channel* const channel = fresh_ ? nullptr : context_.pool.take(target, user_);
  if (channel != nullptr) {
    sent_ = true;
    reused_ = channel->reused();
    user_.on_way(*channel);
  } else if (!context_.pool.connect(target, *to_.service, user_)) {
    leave();
  }
}

void Attempts::ready(upstream::Channel& channel) {
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  const auto refused = find_policy(policy);
  if (refused) {  // meanwhile
    channel.abandon();
    user_.on_no_way(*refused);
    return;
  }
  const auto& made_under = channel.peer().policy;
  const bool is_another =
      policy != nullptr && (made_under == nullptr || policy->key != made_under->key ||
                            policy->epoch != made_under->epoch);
  if (is_another) {
    const net::Address address = channel.peer().address;
    channel.abandon();
    --tries_;  // not the endpoint's fault
    tried_.pop_back();
    try_endpoint(address);
    return;
  }
  sent_ = true;
  reused_ = channel.reused();
  user_.on_way(channel);
}

void Attempts::leave() {
  attempt_ = {};
  --tries_;  // it stays among those that are not tried again
  ++crowded_;
  next();
}

void Attempts::finish(upstream::Outcome outcome) { attempt_.finish(outcome, context_.loop.now()); }

void Attempts::cancel() {
  attempt_ = {};
  ++serial_;
  context_.pool.cancel(user_);
}

bool Attempts::is_stale(const upstream::Failure& failure) const {
  return sent_ && reused_ && !failure.malformed && !failure.stream_alone &&
         failure.error.reason == Reason::BadResponse;
}

bool Attempts::costs_nothing(const upstream::Failure& failure) const {
  const bool refused = failure.unprocessed && failure.error.reason == Reason::BadResponse;
  return returned_ < kMaxReturned && (refused || is_stale(failure));
}

// Other connections that were kept alive are most likely as stale as this one. One that refuses a
// stream may have room again.
void Attempts::forgive(const upstream::Failure& failure) {
  ++returned_;
  fresh_ = fresh_ || !failure.stream_alone || returned_ > 1;
  tried_.pop_back();
}

bool Attempts::has_untried() const {
  const route::ServiceEntry* service = context_.snapshots.current().find_service(*to_.service);
  return service != nullptr &&
         std::ranges::any_of(service->addresses, [this](const net::Address& address) {
           return std::ranges::find(tried_, address) == tried_.end();
         });
}

}  // namespace handfast::session
