#include "proxy/upstream/balancer.h"

#include <algorithm>

namespace handfast::upstream {

const net::Address* Balancer::pick(std::string_view service,
                                   std::span<const net::Address> addresses,
                                   std::span<const net::Address> tried) {
  if (addresses.empty()) return nullptr;
  auto found = next_.find(service);
  if (found == next_.end()) found = next_.emplace(std::string(service), seed_).first;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const net::Address& candidate = addresses[found->second++ % addresses.size()];
    if (std::ranges::find(tried, candidate) == tried.end()) return &candidate;
  }
  return nullptr;
}

void Balancer::forget(std::string_view service) {
  if (const auto found = next_.find(service); found != next_.end()) next_.erase(found);
}

}  // namespace handfast::upstream
