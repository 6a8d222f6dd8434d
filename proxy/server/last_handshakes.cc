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
    const std::size_t gone = std::erase_if(endpoints, [&](const auto& entry) {
      if (left == 0 || entry.second.time > *middle) return false;
      --left;
      return true;
    });
    size_.fetch_sub(gone, std::memory_order_relaxed);
  }
  std::erase_if(stripe.services, [](const auto& entry) { return entry.second.empty(); });
}

void LastHandshakes::forget_services(const std::vector<std::string>& services) {
  if (services.empty()) return;
  for (Stripe& stripe : stripes_) {
    const std::lock_guard lock(stripe.mutex);
    for (const std::string& name : services) {
      const auto found = stripe.services.find(name);
      if (found == stripe.services.end()) continue;
      size_.fetch_sub(found->second.size(), std::memory_order_relaxed);
      stripe.services.erase(found);
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
