#include "proxy/server/last_handshakes.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace handfast::server {
namespace {

// What a peer or a library wrote may be long.
constexpr std::size_t kMostDetail = 400;

std::string key_of(const upstream::HandshakeOutcome& outcome) {
  std::array<char, net::Address::kMaxText> space{};
  const std::string_view address = outcome.address->write(space);
  std::string key;
  key.reserve(address.size() + 1 + outcome.policy_key.size());
  return key.append(address).append(" ").append(outcome.policy_key);
}

}  // namespace

void LastHandshakes::on_handshake(const upstream::HandshakeOutcome& outcome) {
  std::string key = key_of(outcome);
  Stripe& stripe = stripes_[StringHash{}(key) % kStripes];
  const UnixSeconds now = clock_.unix_now();
  const std::lock_guard lock(stripe.mutex);
  OfService& service = stripe.services[*outcome.service];
  const auto [place, is_new] = service.try_emplace(std::move(key));
  LastHandshake& last = place->second;
  if (is_new) {
    last.service = *outcome.service;
    last.policy_key = outcome.policy_key;
    last.address = *outcome.address;
  }
  last.reason = outcome.reason;
  last.would_refuse = outcome.verdict == nullptr ? Reason::Ok : outcome.verdict->would_refuse;
  last.time = now;
  last.detail = outcome.detail.substr(0, kMostDetail);
  if (is_new && size_.fetch_add(1, std::memory_order_relaxed) >= kMost) forget_older_half(stripe);
}

template <class Predicate>
void LastHandshakes::forget_if(OfService& endpoints, Predicate is_unused) {
  size_.fetch_sub(std::erase_if(endpoints, is_unused), std::memory_order_relaxed);
}

void LastHandshakes::forget_older_half(Stripe& stripe) {
  std::vector<UnixSeconds> times;
  for (const auto& [service, endpoints] : stripe.services) {
    for (const auto& [key, last] : endpoints) times.push_back(last.time);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  // Of those of the same second some go and some stay.
  std::size_t left = times.size() / 2;
  for (auto& [service, endpoints] : stripe.services) {
    forget_if(endpoints, [&](const auto& entry) {
      if (left == 0 || entry.second.time > *middle) return false;
      --left;
      return true;
    });
  }
  std::erase_if(stripe.services, [](const auto& entry) { return entry.second.empty(); });
}

void LastHandshakes::forget_policies_but(const std::unordered_set<std::string_view>& keys) {
  for (Stripe& stripe : stripes_) {
    const std::lock_guard lock(stripe.mutex);
    for (auto& [service, endpoints] : stripe.services) {
      forget_if(endpoints, [&keys](const auto& entry) {
        const std::string& key = entry.second.policy_key;
        return !key.empty() && !keys.contains(key);
      });
    }
    std::erase_if(stripe.services, [](const auto& entry) { return entry.second.empty(); });
  }
}

void LastHandshakes::forget_endpoints(const std::vector<std::string>& services,
                                      const route::Snapshot& snapshot) {
  if (size_.load(std::memory_order_relaxed) == 0) return;
  for (const std::string& name : services) {
    const route::ServiceEntry* service = snapshot.find_service(name);
    if (service != nullptr && service->config.external_name) continue;
    std::unordered_set<std::string> present;
    if (service != nullptr) {
      for (const net::Address& address : service->addresses) present.insert(address.to_string());
    }
    for (Stripe& stripe : stripes_) {
      const std::lock_guard lock(stripe.mutex);
      const auto found = stripe.services.find(name);
      if (found == stripe.services.end()) continue;
      forget_if(found->second, [&present](const auto& entry) {
        return !present.contains(entry.second.address.to_string());
      });
      if (found->second.empty()) stripe.services.erase(found);
    }
  }
}

std::vector<LastHandshake> LastHandshakes::all() const {
  std::vector<LastHandshake> found;
  for (const Stripe& stripe : stripes_) {
    const std::lock_guard lock(stripe.mutex);
    for (const auto& [service, endpoints] : stripe.services) {
      for (const auto& [key, last] : endpoints) found.push_back(last);
    }
  }
  std::vector<std::pair<std::string, std::size_t>> order;
  order.reserve(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    order.emplace_back(found[i].address.to_string(), i);
  }
  std::ranges::sort(order, [&found](const auto& a, const auto& b) {
    const LastHandshake& first = found[a.second];
    const LastHandshake& second = found[b.second];
    return std::tie(first.service, a.first, first.policy_key) <
           std::tie(second.service, b.first, second.policy_key);
  });
  std::vector<LastHandshake> sorted;
  sorted.reserve(found.size());
  for (const auto& [address, index] : order) sorted.push_back(std::move(found[index]));
  return sorted;
}

}  // namespace handfast::server
