#include "controller/reconcile/route_tally.h"

#include <utility>
#include <variant>

namespace handfast::reconcile {
namespace {

template <class Key>
void add_to(std::map<Key, std::size_t>& counts, Key key, bool add) {
  const auto entry = counts.try_emplace(std::move(key), 0).first;
  entry->second += add ? 1 : std::size_t(-1);
  if (entry->second == 0) counts.erase(entry);
}

std::optional<Reason> reason_of(const std::optional<config::Refusal>& refused) {
  if (!refused) return std::nullopt;
  return refused->reason;
}

}  // namespace

bool RouteTally::note(Doubts& doubts, const std::string& name, std::optional<Doubt> doubt) {
  const auto found = doubts.find(name);
  if (!doubt) return found != doubts.end() && doubts.erase(name) != 0;
  if (found != doubts.end() && found->second == *doubt) return false;
  doubts.insert_or_assign(name, *doubt);
  return true;
}

// Answers whether a policy or a Service began or ceased to be in doubt.
bool RouteTally::take(const std::string& name, const std::optional<config::Shard>& shard) {
  if (name.starts_with("tls/")) {
    const auto* policy = shard ? std::get_if<config::UpstreamTls>(&*shard) : nullptr;
    const bool doubtful = policy != nullptr && (policy->refused || !policy->verify);
    return note(policies_, name.substr(4),
                doubtful ? std::optional(Doubt{reason_of(policy->refused)}) : std::nullopt);
  }
  if (!name.starts_with("service/")) return false;
  const auto* service = shard ? std::get_if<config::Service>(&*shard) : nullptr;
  const bool doubtful = service != nullptr && service->refused;
  return note(services_, name.substr(8),
              doubtful ? std::optional(Doubt{reason_of(service->refused)}) : std::nullopt);
}

void RouteTally::update(const translate::Change& change) {
  bool again = change.is_whole;
  if (change.is_whole) {
    hosts_.clear();
    policies_.clear();
    services_.clear();
  }
  for (const auto& [name, shard] : change.shards) again = take(name, shard) || again;
  for (const auto& [name, shard] : change.shards) {
    if (!name.starts_with("host/")) continue;
    std::vector<Route> routes;
    if (const auto* host = shard ? std::get_if<config::VirtualHost>(&*shard) : nullptr) {
      for (const config::Route& route : host->routes) {
        std::optional<Reason> refused = reason_of(route.refused);
        if (!refused && route.client) refused = reason_of(route.client->refused);
        routes.push_back(
            {route.ingress_namespace, route.ingress, route.service, route.upstream_tls, refused});
      }
    }
    const auto before = hosts_.find(name);
    if (!again && before != hosts_.end()) count(before->second, false);
    if (!again) count(routes, true);
    if (shard) {
      hosts_.insert_or_assign(name, std::move(routes));
    } else {
      hosts_.erase(name);
    }
  }
  if (!again) return;
  refused_.clear();
  insecure_.clear();
  for (const auto& [name, routes] : hosts_) count(routes, true);
}

void RouteTally::count(const std::vector<Route>& routes, bool add) {
  for (const Route& route : routes) count(route, add);
}

void RouteTally::count(const Route& route, bool add) {
  std::optional<Reason> refused = route.refused;
  const auto policy = policies_.find(route.policy);
  if (!refused && policy != policies_.end()) refused = policy->second.refused;
  const auto service = services_.find(route.service);
  if (!refused && service != services_.end()) refused = service->second.refused;
  if (refused) {
    add_to(refused_, *refused, add);
  } else if (policy != policies_.end()) {
    add_to(insecure_, {route.ingress_namespace, route.ingress}, add);
  }
}

std::map<std::string, std::size_t> RouteTally::refused() const {
  std::map<std::string, std::size_t> counts;
  for (const auto& [reason, count] : refused_) counts[std::string(to_string(reason))] += count;
  return counts;
}

}  // namespace handfast::reconcile
