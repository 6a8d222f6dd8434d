#include "proxy/upstream/balancer.h"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::upstream {
namespace {

using config::LoadBalance;

// With more endpoints, least request looks at two of them.
constexpr std::size_t kLookAtAll = 16;
// A Service that nobody asked for in so long is forgotten, once there are many: it may be gone, and
// have been asked for by an exchange that outlived it.
constexpr std::chrono::hours kUnused{1};
constexpr std::size_t kManyServices = 1024;

// The same in every worker and replica.
std::uint64_t hash_of(const net::Address& address) {
  ByteHash hash;
  const auto add = [&hash](const auto& field) {
    hash.add(std::string_view(reinterpret_cast<const char*>(&field), sizeof field));
  };
  if (address.family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address.data());
    add(v4->sin_addr);
    add(v4->sin_port);
  } else if (address.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address.data());
    add(v6->sin6_addr);
    add(v6->sin6_port);
  }
  return hash.finish();
}

}  // namespace

struct Balancer::Endpoint {
  net::Address address;
  EndpointHealth health;
  std::size_t in_flight = 0;
  Service* home;  // null: it isn't listed any more
};

struct Balancer::Service {
  Balancer& owner;
  std::size_t next;  // whose turn it is
  Monotonic last_pick;
  bool unwell = false;  // some endpoint may have less than its whole share
  // The list that `endpoints` follows, as of which snapshot.
  std::span<const net::Address> followed{};
  std::uint64_t snapshot = 0;
  std::vector<EndpointPtr> endpoints{};
  std::vector<std::uint64_t> hashes{};  // of their addresses, side by side
};

void Balancer::Unlist::operator()(Endpoint* endpoint) const noexcept {
  if (endpoint->health.is_resting()) --endpoint->home->owner.resting_;
  endpoint->home = nullptr;
  if (endpoint->in_flight == 0) delete endpoint;
}

Balancer::Attempt::Attempt(Attempt&& other) noexcept
    : endpoint_(std::exchange(other.endpoint_, nullptr)),
      ticket_(other.ticket_),
      started_(other.started_) {}

Balancer::Attempt& Balancer::Attempt::operator=(Attempt&& other) noexcept {
  if (this == &other) return *this;
  finish(Outcome::Aborted, started_);
  endpoint_ = std::exchange(other.endpoint_, nullptr);
  ticket_ = other.ticket_;
  started_ = other.started_;
  return *this;
}

Balancer::Attempt::~Attempt() { finish(Outcome::Aborted, started_); }

void Balancer::Attempt::finish(Outcome outcome, Monotonic now) {
  Endpoint* const endpoint = std::exchange(endpoint_, nullptr);
  if (endpoint == nullptr) return;
  --endpoint->in_flight;
  Service* const home = endpoint->home;
  if (home == nullptr) {
    if (endpoint->in_flight == 0) delete endpoint;
    return;
  }
  const bool rested = endpoint->health.is_resting();
  endpoint->health.finish(outcome, ticket_, now);
  const bool rests = endpoint->health.is_resting();
  if (rests && !rested) ++home->owner.resting_;
  if (rested && !rests) --home->owner.resting_;
  if (endpoint->health.state() != EndpointHealth::State::Whole) home->unwell = true;
}

Balancer::Balancer(std::uint64_t seed) : seed_(seed), lots_(mix(seed)), drop_at_(kManyServices) {}
Balancer::~Balancer() = default;

// One pick among the endpoints of a Service. Each function gives an index; as many as there are
// endpoints: none is left.
struct Balancer::Picker {
  Service& service;
  const PickRequest& request;
  Monotonic now;
  Lots& lots;
  bool all_rest = false;  // of those that weren't tried

  [[nodiscard]] std::size_t count() const { return service.endpoints.size(); }
  [[nodiscard]] bool by_hash() const {
    return request.algorithm == LoadBalance::ConsistentHash && request.hash != kNoHash;
  }
  [[nodiscard]] const Endpoint& at(std::size_t index) const { return *service.endpoints[index]; }
  [[nodiscard]] std::uint64_t score(std::size_t index) const {
    return mix(request.hash ^ service.hashes[index]);
  }
  [[nodiscard]] bool was_tried(std::size_t index) const {
    return std::ranges::find(request.tried, at(index).address) != request.tried.end();
  }
  [[nodiscard]] double weight(std::size_t index) const {
    if (!request.tried.empty() && was_tried(index)) return 0;
    return all_rest || at(index).health.wants_probe(now) ? 1 : at(index).health.share(now);
  }

  std::size_t pick() {
    return service.unwell || !request.tried.empty() ? pick_by_share() : pick_of_equals();
  }

  std::size_t pick_of_equals() {
    if (by_hash()) return highest_score();
    if (request.algorithm != LoadBalance::LeastRequest) return service.next++ % count();
    if (count() <= kLookAtAll) return least_load();
    const std::size_t one = lots.below(count());
    std::size_t other = lots.below(count() - 1);
    if (other >= one) ++other;
    return at(other).in_flight < at(one).in_flight ? other : one;
  }

  std::size_t pick_by_share() {
    service.unwell = false;
    bool any = false;
    double sum = 0;
    for (std::size_t i = 0; i < count(); ++i) {
      EndpointHealth& health = service.endpoints[i]->health;
      health.settle(now);
      service.unwell = service.unwell || health.state() != EndpointHealth::State::Whole;
      if (was_tried(i)) continue;
      // A key stays with its endpoint: only its own requests look whether it is back.
      if (!by_hash() && health.wants_probe(now)) {
        service.unwell = true;
        return i;
      }
      any = true;
      sum += weight(i);
    }
    if (!any) return count();
    if (!service.unwell && request.tried.empty()) return pick_of_equals();
    all_rest = sum == 0;
    if (by_hash()) return highest_score_by_share();
    return request.algorithm == LoadBalance::LeastRequest ? least_load_by_share() : by_lot();
  }

  // Turns would give the one behind a resting endpoint twice its share.
  std::size_t by_lot() {
    double sum = 0;
    for (std::size_t i = 0; i < count(); ++i) sum += weight(i);
    double lot = fraction(lots.draw()) * sum;
    std::size_t last = count();
    for (std::size_t i = 0; i < count(); ++i) {
      const double share = weight(i);
      if (share == 0) continue;
      last = i;
      if ((lot -= share) < 0) break;
    }
    return last;
  }

  // Equals take turns.
  std::size_t least_load() {
    const std::size_t first = service.next++ % count();
    std::size_t best = first;
    for (std::size_t i = first + 1; i < first + count(); ++i) {
      const std::size_t index = i < count() ? i : i - count();
      if (at(index).in_flight < at(best).in_flight) best = index;
    }
    return best;
  }

  std::size_t least_load_by_share() {
    const std::size_t first = service.next++ % count();
    std::size_t best = count();
    double least = 0;
    for (std::size_t i = first; i < first + count(); ++i) {
      const std::size_t index = i < count() ? i : i - count();
      const double share = weight(index);
      if (share == 0) continue;
      const double load = static_cast<double>(at(index).in_flight + 1) / share;
      if (best != count() && load >= least) continue;
      best = index;
      least = load;
    }
    return best;
  }

  [[nodiscard]] std::size_t highest_score() const {
    std::size_t best = 0;
    std::uint64_t highest = score(0);
    for (std::size_t i = 1; i < count(); ++i) {
      if (const std::uint64_t other = score(i); other > highest) {
        best = i;
        highest = other;
      }
    }
    return best;
  }

  // While an endpoint grows, its keys come to it one after the other, each once.
  [[nodiscard]] std::size_t highest_score_by_share() const {
    std::size_t best = count();
    std::size_t best_of_any = count();
    std::uint64_t highest = 0;
    std::uint64_t highest_of_any = 0;
    for (std::size_t i = 0; i < count(); ++i) {
      const double share = weight(i);
      if (share == 0) continue;
      const std::uint64_t its = score(i);
      if (best_of_any == count() || its > highest_of_any) {
        best_of_any = i;
        highest_of_any = its;
      }
      if (share < 1 && fraction(mix(its)) >= share) continue;
      if (best == count() || its > highest) {
        best = i;
        highest = its;
      }
    }
    return best != count() ? best : best_of_any;
  }
};

Balancer::Choice Balancer::pick(const PickRequest& request, Monotonic now) {
  if (request.addresses.empty()) return {};
  Service& service = find_or_make(request.service, now);
  follow(service, request.addresses, now);
  const auto pick_index = [&] { return Picker{service, request, now, lots_}.pick(); };
  std::size_t index = pick_index();
  if (index == request.addresses.size()) return {};
  if (!(service.endpoints[index]->address == request.addresses[index])) {
    // Another list where the one before lay; only an external name's can come without a snapshot.
    service.followed = {};
    follow(service, request.addresses, now);
    index = pick_index();
    if (index == request.addresses.size()) return {};
  }
  return {&request.addresses[index], service.endpoints[index].get()};
}

Balancer::Attempt Balancer::start(const Choice& choice, Monotonic now) {
  Attempt attempt;
  attempt.endpoint_ = choice.endpoint;
  attempt.ticket_ = choice.endpoint->health.start(now);
  attempt.started_ = now;
  ++choice.endpoint->in_flight;
  return attempt;
}

Balancer::Service& Balancer::find_or_make(std::string_view name, Monotonic now) {
  if (const auto found = services_.find(name); found != services_.end()) {
    found->second->last_pick = now;
    return *found->second;
  }
  if (services_.size() >= drop_at_) drop_unused(now);
  auto made = std::unique_ptr<Service>(new Service{*this, seed_, now});
  return *services_.emplace(std::string(name), std::move(made)).first->second;
}

void Balancer::drop_unused(Monotonic now) {
  std::erase_if(services_,
                [now](const auto& entry) { return now - entry.second->last_pick > kUnused; });
  drop_at_ = std::max(kManyServices, 2 * services_.size());
}

// Makes endpoints[i] that of addresses[i]. What was known before is kept; lists are sorted, so that
// the next one is mostly where the last was found.
void Balancer::follow(Service& service, std::span<const net::Address> addresses, Monotonic now) {
  if (service.followed.data() == addresses.data() && service.followed.size() == addresses.size() &&
      service.snapshot == snapshot_) {
    return;
  }
  service.followed = addresses;
  service.snapshot = snapshot_;
  std::vector<EndpointPtr>& before = service.endpoints;
  if (std::ranges::equal(addresses, before, {}, {},
                         [](const EndpointPtr& known) -> const auto& { return known->address; })) {
    return;
  }
  std::vector<EndpointPtr> endpoints(addresses.size());
  std::vector<std::uint64_t> hashes(addresses.size());
  std::size_t from = 0;
  bool any_kept = false;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    hashes[i] = hash_of(addresses[i]);
    for (std::size_t step = 0; step < before.size(); ++step) {
      const std::size_t at = (from + step) % before.size();
      if (before[at] == nullptr || service.hashes[at] != hashes[i] ||
          !(before[at]->address == addresses[i])) {
        continue;
      }
      endpoints[i] = std::move(before[at]);
      from = at + 1;
      any_kept = true;
      break;
    }
  }
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    if (endpoints[i] != nullptr) continue;
    endpoints[i].reset(
        new Endpoint{addresses[i], EndpointHealth(lots_.draw()), /*in_flight=*/0, &service});
    // Where all are new, all have the same share anyway.
    if (any_kept) endpoints[i]->health.grow(now);
  }
  service.endpoints = std::move(endpoints);
  service.hashes = std::move(hashes);
  service.unwell = any_kept;
}

void Balancer::forget(std::string_view service) {
  if (const auto found = services_.find(service); found != services_.end()) services_.erase(found);
}

std::vector<Balancer::EndpointView> Balancer::unwell(Monotonic now) {
  std::vector<EndpointView> views;
  for (const auto& [name, service] : services_) {
    if (!service->unwell) continue;
    for (const EndpointPtr& endpoint : service->endpoints) {
      EndpointHealth& health = endpoint->health;
      health.settle(now);
      if (health.state() == EndpointHealth::State::Whole) continue;
      views.push_back(
          {name, &endpoint->address, health.state(), health.failures(), health.rest_until()});
    }
  }
  return views;
}

void Balancer::check_invariants() const {
  std::size_t resting = 0;
  for (const auto& [name, service] : services_) {
    check(service->hashes.size() == service->endpoints.size(), "a hash for each endpoint");
    for (std::size_t i = 0; i < service->endpoints.size(); ++i) {
      const Endpoint& endpoint = *service->endpoints[i];
      check(endpoint.home == service.get(), "an endpoint knows its Service");
      check(service->hashes[i] == hash_of(endpoint.address), "hashes follow endpoints");
      if (endpoint.health.state() != EndpointHealth::State::Whole)
        check(service->unwell, "who is unwell is known");
      if (endpoint.health.is_resting()) ++resting;
    }
  }
  check(resting == resting_, "the count of those that rest");
}

}  // namespace handfast::upstream
