#pragma once
// The backends that manifests lead to: which policy applies to which endpoint.
//
// A Service has one backend for each policy that applies to it (each Ingress may have its own) and
// each protocol that a route offers, and that has one Backend for each endpoint that the proxy
// would use. What no endpoint can be asked about (refused, none ready) is one Backend too.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/handfast/manifests.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"
#include "proxy/tls/upstream_policy.h"
#include "proxy/upstream/channel.h"

namespace handfast {

struct Backend {
  std::string object;   // whose policy it is, "Ingress shop/orders"
  std::string service;  // "shop/orders:443"; empty: none is named
  std::string host;     // an IP address, or an external name; empty: no endpoint
  std::uint16_t port = 0;
  bool tls = false;
  std::shared_ptr<const tls::UpstreamPolicy> policy = nullptr;  // null: plain, or refused before
  const config::UpstreamTls* rules = nullptr;                   // what `policy` was made of
  upstream::Wire wire = upstream::Wire::Http1;
  std::optional<Error> refused;  // why nothing is asked
  std::string change;            // what a finding says to do about that; may be empty

  [[nodiscard]] std::string endpoint() const;  // "10.0.0.7:8443"; empty without
};

// All of them, in the order of hosts and paths. Borrows from `manifests`.
[[nodiscard]] std::vector<Backend> all_backends(const Manifests& manifests,
                                                const route::Snapshot& snapshot, UnixSeconds now);

// Those of a Service, "[namespace/]name[:port]" (in any namespace if none is named), or, if there
// is none, those at an endpoint or external name, "host:port".
[[nodiscard]] std::vector<Backend> find_backends(const Manifests& manifests,
                                                 const route::Snapshot& snapshot,
                                                 std::string_view wanted, UnixSeconds now);

}  // namespace handfast
