#pragma once
// Where an Ingress is reached: status.loadBalancer, by the rules of ingress-nginx
// (--publish-service, --publish-status-address, the addresses of nodes).
//
// Pure; thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/status/write_queue.h"

namespace handfast::status {

using Addresses = std::vector<objects::LoadBalancerAddress>;

// "203.0.113.7,lb.example": addresses and host names, sorted.
[[nodiscard]] Addresses parse_addresses(std::string_view text);

// What the Service is reached at: of a LoadBalancer what its status says and its external
// addresses, of a NodePort its external addresses or else its cluster address, of an ExternalName
// that name.
[[nodiscard]] Addresses addresses_of(const objects::Service& service);

// A merge patch of the Ingress' status.
[[nodiscard]] Write ingress_write(const objects::Meta& meta, const Addresses& addresses);

// Whether the Ingress says so already, in whatever order.
[[nodiscard]] bool is_told(const objects::Ingress& ingress, const Addresses& addresses);

}  // namespace handfast::status
