#pragma once
// Which endpoint of a Service gets the next try: round robin per Service and worker.
//
// Threading: one worker's. State is keyed by the Service's stable name and outlives snapshots.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/net/address.h"
#include "proxy/route/snapshot.h"

namespace handfast::upstream {

class Balancer {
 public:
  // `seed` spreads the workers' starting points, so that few requests don't all meet one endpoint.
  explicit Balancer(std::size_t seed) : seed_(seed) {}

  // One of `addresses` that isn't in `tried`, or null if there is none. Borrowed from `addresses`.
  const net::Address* pick(std::string_view service, std::span<const net::Address> addresses,
                           std::span<const net::Address> tried);
  // The Service is gone.
  void forget(std::string_view service);

 private:
  std::size_t seed_;
  std::unordered_map<std::string, std::size_t, route::StringHash, std::equal_to<>> next_;
};

}  // namespace handfast::upstream
