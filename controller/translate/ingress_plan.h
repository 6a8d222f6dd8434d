#pragma once
// What the annotations of one Ingress say about all of its routes.

#include <optional>

#include "controller/objects/objects.h"
#include "controller/translate/annotations.h"
#include "controller/translate/backend_tls.h"
#include "controller/translate/client_auth.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct IngressPlan {
  // Stands in the way of every route of the Ingress.
  std::optional<config::Refusal> refused;
  // What the routes have in common: protocol, traffic, access log. No path, host or Service.
  config::Route route;
  ClientPlan client;
  std::optional<bool> http2;  // absent: the appProtocol of each Service port decides
  // If the protocol is TLS. Read when a Service without a policy of its own needs it.
  std::optional<UpstreamPlan> upstream;
  // Its routes ask the ConfigMap's auth server, if there is one.
  bool asks_global_auth = false;
  bool passthrough = false;       // ssl-passthrough: of all the rest only `refused` counts
  bool redirect_with_tls = true;  // plain requests to a host that has TLS
  bool redirect_always = false;   // even without
};

// Whether it says, and may say, that TLS of its hosts passes through.
[[nodiscard]] bool passes_through(const objects::Ingress& ingress, const Options& options);

[[nodiscard]] IngressPlan make_plan(const objects::Ingress& ingress, const Options& options,
                                    const BackendTls& backend_tls, ClientAuth& client_auth,
                                    ObjectReport& report);

// For a route to a Service that no policy speaks of, without TLS: does the operator allow that?
[[nodiscard]] std::optional<config::Refusal> require_tls(const Options& options,
                                                         const objects::Ingress& ingress,
                                                         ObjectReport& report);

}  // namespace handfast::translate
