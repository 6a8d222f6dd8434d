#include "controller/source/cluster_kinds.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::source {
namespace {

constexpr std::string_view kSingle = "metadata.name=";
constexpr std::string_view kNoReleases = "type!=helm.sh/release.v1";

constexpr kube::Resource resource(std::string_view kind, std::string_view plural,
                                  std::string_view group, std::string_view version,
                                  std::string_view other_version = {}) {
  return {kind, plural, group, {version, other_version}};
}

constexpr kube::Resource of_cluster(kube::Resource one) {
  one.is_namespaced = false;
  return one;
}

constexpr kube::Resource if_there(kube::Resource one) {
  one.may_be_absent = true;
  return one;
}

constexpr WatchedKind on_demand(kube::Resource one, std::string_view field_selector = {}) {
  return {one, true, false, false, field_selector};
}

constexpr WatchedKind may_be_refused(kube::Resource one) { return {one, false, true, false, {}}; }

// A policy that can't be read would leave its Services less protected, a grant or a bundle only
// leaves something refused; and without IngressClasses ours is known by its name.
constexpr std::array<WatchedKind, 11> kKinds{{
    {resource("Ingress", "ingresses", "networking.k8s.io", "v1")},
    may_be_refused(
        of_cluster(resource("IngressClass", "ingressclasses", "networking.k8s.io", "v1"))),
    {resource("Service", "services", "", "v1")},
    {resource("EndpointSlice", "endpointslices", "discovery.k8s.io", "v1")},
    {if_there(resource("UpstreamTLSPolicy", "upstreamtlspolicies", "handfast.dev", "v1alpha1"))},
    {if_there(resource("BackendTLSPolicy", "backendtlspolicies", "gateway.networking.k8s.io", "v1",
                       "v1alpha3"))},
    may_be_refused(if_there(resource("ReferenceGrant", "referencegrants",
                                     "gateway.networking.k8s.io", "v1", "v1beta1"))),
    may_be_refused(if_there(of_cluster(resource("ClusterTrustBundle", "clustertrustbundles",
                                                "certificates.k8s.io", "v1beta1", "v1alpha1")))),
    {of_cluster(resource("Namespace", "namespaces", "", "v1")), false, false, true, {}},
    on_demand(resource("Secret", "secrets", "", "v1"), kNoReleases),
    on_demand(resource("ConfigMap", "configmaps", "", "v1")),
}};

void add_named(const WatchedKind& kind, const objects::ObjectKey& key,
               std::vector<kube::Scope>& scopes) {
  if (key.kind == kind.resource.kind) scopes.push_back({key.ns, single_selector(key.name), {}});
  if (key.kind == "Service" && kind.resource.kind == "EndpointSlice") {
    scopes.push_back({key.ns, {}, "kubernetes.io/service-name=" + key.name});
  }
}

}  // namespace

std::span<const WatchedKind> watched_kinds() { return kKinds; }

const kube::Resource& on_demand_resource(std::string_view kind) {
  const auto* const found = std::ranges::find_if(kKinds, [&](const WatchedKind& one) {
    return one.is_on_demand && one.resource.kind == kind;
  });
  check(found != kKinds.end(), "a kind that is never fetched by itself");
  return found->resource;
}

bool is_watched(const kube::Item& item) {
  if (item.key.kind != "Secret") return true;
  const objects::Value* const type = item.document.find("type");
  return type == nullptr || !kNoReleases.ends_with("!=" + type->scalar);
}

std::string single_selector(std::string_view name) { return std::string(kSingle).append(name); }

bool is_single(const kube::Scope& scope) { return scope.field_selector.starts_with(kSingle); }

std::vector<kube::Scope> scopes_of(const WatchedKind& kind,
                                   const std::vector<std::string>& namespaces,
                                   const std::string& namespace_selector,
                                   const std::vector<objects::ObjectKey>& named) {
  if (kind.is_for_selector) {
    if (namespace_selector.empty()) return {};
    return {{{}, {}, namespace_selector}};
  }
  const std::string selector(kind.field_selector);
  if (namespaces.empty() || !kind.resource.is_namespaced) return {{{}, selector, {}}};
  std::vector<kube::Scope> scopes;
  for (const std::string& ns : namespaces) scopes.push_back({ns, selector, {}});
  for (const objects::ObjectKey& key : named) {
    if (std::ranges::find(namespaces, key.ns) == namespaces.end()) add_named(kind, key, scopes);
  }
  return scopes;
}

objects::Decoded::Problem to_problem(const WatchedKind& kind, const kube::Reflector& reflector) {
  const kube::Reflector::Trouble& trouble = *reflector.trouble();
  objects::Decoded::Problem problem;
  problem.error = {Reason::Io, trouble.detail};
  problem.remedy = "What was known before is served until it answers.";
  if (trouble.status == 403) {
    const std::string& ns = reflector.scope().ns;
    problem.key = {std::string(kind.resource.kind), ns, {}};
    problem.error.reason = Reason::NotPermitted;
    problem.remedy = "Permit list and watch of " + kind.resource.full_name() +
                     (ns.empty() ? std::string() : " in namespace " + ns) +
                     "; docs/kubernetes.md has the rules.";
  } else if (trouble.status == 401) {
    problem.error.reason = Reason::NotPermitted;
    problem.remedy = "Renew the token or the client certificate.";
  } else if (trouble.status == 404) {
    problem.key = {std::string(kind.resource.kind), reflector.scope().ns, {}};
    problem.error.reason = Reason::Unsupported;
    problem.remedy = "Install the definition that comes with this Handfast, or a newer Handfast.";
  } else if (!reflector.is_waiting_for_server()) {
    problem.key = {std::string(kind.resource.kind), reflector.scope().ns, {}};
  }
  return problem;
}

}  // namespace handfast::source
