#include "proxy/server/closed_routes.h"

#include <memory>
#include <utility>

namespace handfast::server {
namespace {

constexpr int kForbidden = 403;

Closed closed(const config::Refusal& refusal, std::string object) {
  return {refusal.reason, refusal.detail, refusal_status(refusal.reason), std::move(object)};
}

Closed closed(const Error& refusal, std::string object) {
  return {refusal.reason, refusal.detail, refusal_status(refusal.reason), std::move(object)};
}

std::optional<Closed> closed_backend(const route::Snapshot& snapshot, const std::string& service,
                                     const std::string& upstream_tls) {
  const auto* found = snapshot.find_service(service);
  if (found != nullptr && found->config.refused) {
    return closed(*found->config.refused, "Service " + service);
  }
  if (upstream_tls.empty()) return std::nullopt;
  const auto policy = snapshot.find_policy(upstream_tls);
  if (policy != nullptr && policy->refused) {
    return closed(*policy->refused, "TLS policy " + upstream_tls);
  }
  return std::nullopt;
}

}  // namespace

std::string object_of(const config::Route& route) {
  // A port of a ConfigMap has a namespace and no name.
  if (route.ingress.empty()) return "ConfigMap " + route.ingress_namespace;
  return "Ingress " + route.ingress_namespace + "/" + route.ingress;
}

std::optional<Closed> closed_by(const route::Snapshot& snapshot, const config::Route& route,
                                const tls::ClientPolicy* clients) {
  if (route.refused) return closed(*route.refused, object_of(route));
  if (route.client && route.client->refused) {
    Closed told = closed(*route.client->refused, object_of(route));
    told.status = kForbidden;
    return told;
  }
  if (clients != nullptr && clients->refused) {
    Closed told = closed(*clients->refused, object_of(route));
    told.status = kForbidden;
    return told;
  }
  if (auto backend =
          closed_backend(snapshot, route.service,
                         config::is_tls(route.protocol) ? route.upstream_tls : std::string())) {
    return backend;
  }
  if (!route.auth) return std::nullopt;
  return closed_backend(snapshot, route.auth->service, route.auth->upstream_tls);
}

}  // namespace handfast::server
