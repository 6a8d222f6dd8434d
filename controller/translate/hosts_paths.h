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
  struct Route {
    config::Route route;
    bool redirect_with_tls = false;
    bool redirect_always = false;
    const ClientPlan* client = nullptr;  // borrowed; null: no Ingress'
    friend bool operator==(const Route&, const Route&) = default;
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
  friend bool operator==(const PathRule&, const PathRule&) = default;
};
// "/" and everything below it.
[[nodiscard]] PathRule root_path();
[[nodiscard]] Result<PathRule> make_path_rule(const objects::IngressPath& path);

// Why the path, though valid, may not match what its author expects; empty: nothing.
[[nodiscard]] std::string find_path_doubt(const objects::IngressPath& path);

// The shard: routes sorted, redirects and access decided.
[[nodiscard]] config::VirtualHost finish_host(HostPlan plan);

}  // namespace handfast::translate
