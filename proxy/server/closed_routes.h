#pragma once
// Why a route answers an error whatever its backends do: for metrics and for the status page.
//
// Threading: any; reads the snapshot only.

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/reason.h"
#include "proxy/route/snapshot.h"

namespace handfast::server {

struct Closed {
  Reason reason = Reason::Internal;
  std::string_view detail;  // borrowed from the snapshot
  int status = 503;         // what requests are answered
  std::string object;       // whose fault it is: "Ingress shop/orders", "Service shop/orders:443"
};

// `clients`: whom the route's clients must be; null: anybody.
[[nodiscard]] std::optional<Closed> closed_by(const route::Snapshot& snapshot,
                                              const config::Route& route,
                                              const tls::ClientPolicy* clients);
// "Ingress shop/orders"; a TCP port's: "ConfigMap shop".
[[nodiscard]] std::string object_of(const config::Route& route);

}  // namespace handfast::server
