#pragma once
// Hosts and who owns which of their paths: the first Ingress that claims a host, path and type has
// it; later claims are told and not served, as in ingress-nginx.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/translate/client_auth.h"
#include "controller/translate/front_tls.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct HostPlan {
  config::VirtualHost shard;  // without routes until finish_host()
  std::vector<FrontOwner> certificate_owners;
  ClientOwner client_owner;
  // The first Ingress that names the host decides whether its TLS passes through.
  std::string first_ingress;  // "shop/orders"; empty: none
  bool passes = false;

  struct Route {
    config::Route route;
    bool redirect_with_tls = false;
    bool redirect_always = false;
    const ClientPlan* client = nullptr;  // borrowed; null: no Ingress'
  };
  std::map<std::pair<std::string, config::PathType>, Route> routes;

  // Takes the route, or answers the one that has its path.
  [[nodiscard]] const config::Route* claim(Route route);
};

// As the proxy matches it: "" is "/", a final '/' of a Prefix isn't significant,
// ImplementationSpecific is Prefix. InvalidValue if it can't match any request.
struct PathRule {
  std::string path;
  config::PathType type = config::PathType::Prefix;
};
[[nodiscard]] Result<PathRule> make_path_rule(const objects::IngressPath& path);

// Why the path, though valid, may not match what its author expects; empty: nothing.
[[nodiscard]] std::string find_path_doubt(const objects::IngressPath& path);

// The shard: routes sorted, redirects and access decided.
[[nodiscard]] config::VirtualHost finish_host(HostPlan plan);

}  // namespace handfast::translate
