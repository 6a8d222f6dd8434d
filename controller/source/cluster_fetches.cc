#include "controller/source/cluster_fetches.h"

#include <algorithm>
#include <string>
#include <utility>

#include "controller/source/cluster_kinds.h"

namespace handfast::source {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostAtOnce = 16;
constexpr milliseconds kFirstDelay{200};
constexpr milliseconds kMostDelay{10'000};
constexpr milliseconds kAskAgainIfRefused{30'000};
constexpr std::chrono::seconds kMostSilence{15};
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;

}  // namespace

void ClusterFetches::add(const objects::ObjectKey& key) {
  fetches_.insert_or_assign(key, Fetch{.at = clock_.now(), .delay = kFirstDelay});
}

void ClusterFetches::remove(const objects::ObjectKey& key) { fetches_.erase(key); }

void ClusterFetches::renew(const objects::ObjectKey& key) {
  const auto found = fetches_.find(key);
  if (found == fetches_.end() || found->second.number == 0) return;
  found->second.number = 0;
  found->second.at = clock_.now();
}

void ClusterFetches::renew_all(std::string_view kind) {
  for (auto& [key, fetch] : fetches_) {
    if (key.kind == kind && fetch.number != 0) {
      fetch.number = 0;
      fetch.at = clock_.now();
    }
  }
}

std::optional<ClusterFetches::Request> ClusterFetches::take_request(Monotonic now) {
  if (under_way_.size() >= kMostAtOnce) return std::nullopt;
  const auto found = std::ranges::find_if(fetches_, [now](const auto& entry) {
    return entry.second.number == 0 && entry.second.at <= now;
  });
  if (found == fetches_.end()) return std::nullopt;
  const auto& [key, unused] = *found;
  Request request{next_++, {}};
  request.request.target = kube::object_path(on_demand_resource(key.kind), 0, key.ns, key.name);
  request.request.max_bytes = kMaxBytes;
  found->second.number = request.number;
  under_way_.emplace(request.number, UnderWay{key, std::nullopt, now});
  return request;
}

void ClusterFetches::on_sent(std::uint64_t number, kube::Api::Id id) {
  const auto found = under_way_.find(number);
  if (found != under_way_.end()) found->second.id = id;
}

std::vector<kube::Api::Id> ClusterFetches::take_silent(Monotonic now) {
  std::vector<kube::Api::Id> silent;
  for (auto& [number, one] : under_way_) {
    if (!one.id || now - one.since < kMostSilence) continue;
    silent.push_back(*one.id);
    one.id.reset();
  }
  return silent;
}

Monotonic ClusterFetches::due() const {
  Monotonic next = Monotonic::max();
  for (const auto& [key, fetch] : fetches_) {
    if (fetch.number == 0 && under_way_.size() < kMostAtOnce) next = std::min(next, fetch.at);
  }
  for (const auto& [number, one] : under_way_) {
    if (one.id) next = std::min(next, one.since + kMostSilence);
  }
  return next;
}

std::optional<ClusterFetches::Fetched> ClusterFetches::on_end(std::uint64_t number,
                                                              const kube::Answer& answer,
                                                              Monotonic now, double random) {
  const auto request = under_way_.find(number);
  if (request == under_way_.end()) return std::nullopt;
  Fetched fetched{.key = std::move(request->second.key), .item = {}, .problem = {}};
  under_way_.erase(request);
  const auto found = fetches_.find(fetched.key);
  // It was let go, or let go and asked for again.
  if (found == fetches_.end() || found->second.number != number) return std::nullopt;

  Fetch& fetch = found->second;
  fetched.was_refused = fetch.is_told;
  bool is_over = answer.status == 404;
  if (answer.status == 200 && answer.failure.empty()) {
    if (auto item = kube::parse_object(answer.body, on_demand_resource(fetched.key.kind), 0)) {
      if (is_watched(*item)) fetched.item = std::move(*item);
      is_over = true;
    }
  }
  if (is_over) {
    fetches_.erase(found);
    return fetched;
  }
  fetch.number = 0;
  if (answer.status == 403) {
    fetched.problem = on_refused(fetched.key, fetch, answer, now);
  } else {
    fetch.refused_since.reset();
  }
  const milliseconds delay = fetch.is_told ? kAskAgainIfRefused : fetch.delay;
  fetch.at = now + std::chrono::duration_cast<milliseconds>(delay * (0.5 + 0.5 * random));
  fetch.delay = std::min(2 * fetch.delay, kMostDelay);
  return fetched.problem ? std::optional(std::move(fetched)) : std::nullopt;
}

std::optional<objects::Decoded::Problem> ClusterFetches::on_refused(const objects::ObjectKey& key,
                                                                    Fetch& fetch,
                                                                    const kube::Answer& answer,
                                                                    Monotonic now) {
  if (!fetch.refused_since) fetch.refused_since = now;
  if (fetch.is_told || now - *fetch.refused_since < patience_) return std::nullopt;
  fetch.is_told = true;
  return objects::Decoded::Problem{key,
                                   {},
                                   {},
                                   {Reason::NotPermitted, kube::message_of(answer.body)},
                                   "Permit get of " + on_demand_resource(key.kind).full_name() +
                                       "; docs/kubernetes.md has the rules."};
}

}  // namespace handfast::source
