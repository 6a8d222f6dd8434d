#pragma once
// Which kinds a cluster source watches, and where; internal to controller/source. The table of
// permissions in docs/kubernetes.md and manifests/rbac.yaml say the same.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controller/kube/reflector.h"
#include "controller/kube/resource.h"
#include "controller/kube/watch_event.h"
#include "controller/objects/decode.h"
#include "controller/objects/objects.h"

namespace handfast::source {

struct WatchedKind {
  kube::Resource resource;
  // Only those are kept that somebody refers to: Secrets and ConfigMaps.
  bool is_on_demand = false;
  // Not being allowed to read it makes nothing less strict, so nobody waits for it.
  bool may_be_refused = false;
  // Only with a selector of namespaces.
  bool is_for_selector = false;
  std::string_view field_selector{};
};

[[nodiscard]] std::span<const WatchedKind> watched_kinds();
// Secret or ConfigMap.
[[nodiscard]] const kube::Resource& on_demand_resource(std::string_view kind);

// The collections of a kind to watch: of all namespaces, or one for each of `namespaces`; and, if
// those are not all, one for each object that is `named` outside them.
[[nodiscard]] std::vector<kube::Scope> scopes_of(const WatchedKind& kind,
                                                 const std::vector<std::string>& namespaces,
                                                 const std::string& namespace_selector,
                                                 const std::vector<objects::ObjectKey>& named);

// Whether the watches of its kind tell of it. A release of helm that is fetched by itself would
// never change and never go, so it counts as none.
[[nodiscard]] bool is_watched(const kube::Item& item);

[[nodiscard]] std::string single_selector(std::string_view name);
[[nodiscard]] bool is_single(const kube::Scope& scope);

// What stands in a reflector's way, and what to do. Precondition: something does.
[[nodiscard]] objects::Decoded::Problem to_problem(const WatchedKind& kind,
                                                   const kube::Reflector& reflector);

}  // namespace handfast::source
