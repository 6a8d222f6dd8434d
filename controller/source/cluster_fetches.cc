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
constexpr std::chrono::seconds kMostSilence{15};
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;

}  // namespace

void ClusterFetches::add(const objects::ObjectKey& key) {
  fetches_.insert_or_assign(key, Fetch{0, clock_.now(), kFirstDelay});
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
  Fetched fetched{std::move(request->second.key), std::nullopt, std::nullopt};
  under_way_.erase(request);
  const auto found = fetches_.find(fetched.key);
  // It was let go, or let go and asked for again.
  if (found == fetches_.end() || found->second.number != number) return std::nullopt;

  const kube::Resource& resource = on_demand_resource(fetched.key.kind);
  bool is_over = answer.status == 404;
  if (answer.status == 200 && answer.failure.empty()) {
    if (auto item = kube::parse_object(answer.body, resource, 0)) {
      fetched.item = std::move(*item);
      is_over = true;
    }
  } else if (answer.status == 403) {
    fetched.problem = objects::Decoded::Problem{
        fetched.key,
        {},
        {},
        {Reason::NotPermitted, kube::message_of(answer.body)},
        "Permit get of " + resource.full_name() + "; docs/kubernetes.md has the rules."};
    is_over = true;
  }
  if (is_over) {
    fetches_.erase(found);
    return fetched;
  }
  Fetch& fetch = found->second;
  fetch.number = 0;
  fetch.at = now + std::chrono::duration_cast<milliseconds>(fetch.delay * (0.5 + 0.5 * random));
  fetch.delay = std::min(2 * fetch.delay, kMostDelay);
  return std::nullopt;
}

}  // namespace handfast::source
