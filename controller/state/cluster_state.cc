#include "controller/state/cluster_state.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace handfast::state {

using objects::ObjectKey;

objects::ObjectKey slices_of(std::string_view ns, std::string_view service) {
  return {"slices of", std::string(ns), std::string(service)};
}

objects::ObjectKey grants_of(std::string_view ns) {
  return {"ReferenceGrant", std::string(ns), {}};
}

objects::ObjectKey of_kind(std::string_view kind) { return {std::string(kind), {}, {}}; }

template <class Kind>
const Kind* ClusterState::get_if(const Held& held) {
  const auto* const kept = std::get_if<std::unique_ptr<const Kind>>(&held);
  return kept == nullptr ? nullptr : kept->get();
}

template <class Kind>
const Kind* ClusterState::find(std::string_view kind, std::string_view ns,
                               std::string_view name) const {
  const auto found =
      objects_.find(ObjectKey{std::string(kind), std::string(ns), std::string(name)});
  return found == objects_.end() ? nullptr : get_if<Kind>(found->second);
}

// Every object of one kind: they stand together, since the kind comes first in the key.
template <class Kind>
std::vector<const Kind*> ClusterState::all(std::string_view kind) const {
  std::vector<const Kind*> found;
  for (auto at = objects_.lower_bound(ObjectKey{std::string(kind), {}, {}});
       at != objects_.end() && at->first.kind == kind; ++at) {
    if (const Kind* object = get_if<Kind>(at->second)) found.push_back(object);
  }
  return found;
}

template <class Kind>
std::vector<const Kind*> ClusterState::all_by_age(std::string_view kind) const {
  auto found = all<Kind>(kind);
  std::ranges::stable_sort(found, {}, [](const Kind* object) -> std::string_view {
    return object->meta.creation_timestamp;
  });
  return found;
}

bool ClusterState::apply(objects::Object object) {
  const ObjectKey key = objects::key(object);
  const auto old = objects_.find(key);
  const bool is_change =
      old == objects_.end() || !std::visit(
                                   [&old](const auto& now) {
                                     using Kind = std::remove_cvref_t<decltype(now)>;
                                     const Kind* const before = get_if<Kind>(old->second);
                                     return before != nullptr && same_content(*before, now);
                                   },
                                   object);
  if (old != objects_.end()) {
    touch(key, old->second);
    if (is_change) forget_slice(*old);
  }
  // Stored even then: its file and line may have changed, which findings name.
  const auto place = old != objects_.end() ? old : objects_.try_emplace(key).first;
  Held& held = place->second;
  std::visit(
      [&held](auto& now) {
        using Kind = std::remove_cvref_t<decltype(now)>;
        held = std::make_unique<const Kind>(std::move(now));
      },
      object);
  touch(key, held);
  if (is_change) remember_slice(*place);
  return is_change;
}

bool ClusterState::remove(const ObjectKey& key) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return false;
  touch(found->first, found->second);
  forget_slice(*found);
  objects_.erase(found);
  return true;
}

std::set<objects::ObjectKey> ClusterState::take_touched() { return std::exchange(touched_, {}); }

std::set<objects::ObjectKey> ClusterState::keys() const {
  std::set<objects::ObjectKey> keys;
  for (const auto& [key, object] : objects_) keys.insert(keys.end(), key);
  return keys;
}

void ClusterState::touch(const ObjectKey& key, const Held& held) {
  if (const auto* const slice = get_if<objects::EndpointSlice>(held)) {
    touched_.insert(slices_of(key.ns, slice->service));
    return;
  }
  touched_.insert(key);
  if (key.kind == "ReferenceGrant") touched_.insert(grants_of(key.ns));
  if (key.kind == "IngressClass") touched_.insert(of_kind(key.kind));
}

void ClusterState::remember_slice(const Objects::value_type& entry) {
  const auto* const slice = get_if<objects::EndpointSlice>(entry.second);
  if (slice == nullptr || slice->service.empty()) return;
  auto& slices = slices_[{entry.first.ns, slice->service}];
  slices.insert(std::ranges::lower_bound(slices, entry.first, {},
                                         [](const auto* one) -> auto& { return one->first; }),
                &entry);
}

void ClusterState::forget_slice(const Objects::value_type& entry) {
  const auto* const slice = get_if<objects::EndpointSlice>(entry.second);
  if (slice == nullptr || slice->service.empty()) return;
  const auto found = slices_.find({entry.first.ns, slice->service});
  if (found == slices_.end()) return;
  std::erase(found->second, &entry);
  if (found->second.empty()) slices_.erase(found);
}

const objects::Meta* ClusterState::find_meta(const ObjectKey& key) const {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return nullptr;
  return std::visit([](const auto& held) { return &held->meta; }, found->second);
}

const objects::Ingress* ClusterState::find_ingress(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Ingress>("Ingress", ns, name);
}

const objects::Secret* ClusterState::find_secret(std::string_view ns, std::string_view name) const {
  return find<objects::Secret>("Secret", ns, name);
}

const objects::ConfigMap* ClusterState::find_config_map(std::string_view ns,
                                                        std::string_view name) const {
  return find<objects::ConfigMap>("ConfigMap", ns, name);
}

const objects::ConfigMap* ClusterState::find_operator_crls(std::string_view name) const {
  return find_config_map({}, name);
}

const objects::Service* ClusterState::find_service(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Service>("Service", ns, name);
}

const objects::IngressClass* ClusterState::find_ingress_class(std::string_view name) const {
  return find<objects::IngressClass>("IngressClass", {}, name);
}

const objects::ClusterTrustBundle* ClusterState::find_trust_bundle(std::string_view name) const {
  return find<objects::ClusterTrustBundle>("ClusterTrustBundle", {}, name);
}

const objects::UpstreamTlsPolicy* ClusterState::find_upstream_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::UpstreamTlsPolicy>("UpstreamTLSPolicy", ns, name);
}

const objects::BackendTlsPolicy* ClusterState::find_backend_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::BackendTlsPolicy>("BackendTLSPolicy", ns, name);
}

std::vector<const objects::EndpointSlice*> ClusterState::endpoint_slices(
    std::string_view ns, std::string_view service) const {
  std::vector<const objects::EndpointSlice*> found;
  const auto slices = slices_.find({std::string(ns), std::string(service)});
  if (slices == slices_.end()) return found;
  for (const auto* const entry : slices->second) {
    found.push_back(get_if<objects::EndpointSlice>(entry->second));
  }
  return found;
}

std::vector<const objects::Ingress*> ClusterState::ingresses() const {
  auto found = all<objects::Ingress>("Ingress");
  // "namespace/name" is compared as one text, as ingress-nginx does: '/' sorts after '-' and '.'.
  std::ranges::sort(found, [](const objects::Ingress* left, const objects::Ingress* right) {
    const objects::Meta& a = left->meta;
    const objects::Meta& b = right->meta;
    if (a.creation_timestamp != b.creation_timestamp) {
      return a.creation_timestamp < b.creation_timestamp;
    }
    return a.ns == b.ns ? a.name > b.name : a.ns + "/" + a.name > b.ns + "/" + b.name;
  });
  return found;
}

std::vector<const objects::IngressClass*> ClusterState::ingress_classes() const {
  return all<objects::IngressClass>("IngressClass");
}

std::vector<const objects::UpstreamTlsPolicy*> ClusterState::upstream_tls_policies() const {
  return all_by_age<objects::UpstreamTlsPolicy>("UpstreamTLSPolicy");
}

std::vector<const objects::BackendTlsPolicy*> ClusterState::backend_tls_policies() const {
  return all_by_age<objects::BackendTlsPolicy>("BackendTLSPolicy");
}

std::vector<const objects::ReferenceGrant*> ClusterState::reference_grants(
    std::string_view ns) const {
  std::vector<const objects::ReferenceGrant*> found;
  for (auto at = objects_.lower_bound(grants_of(ns));
       at != objects_.end() && at->first.kind == "ReferenceGrant" && at->first.ns == ns; ++at) {
    if (const auto* grant = get_if<objects::ReferenceGrant>(at->second)) {
      found.push_back(grant);
    }
  }
  return found;
}

bool ClusterState::has_upstream_tls_policies() const {
  const auto first = objects_.lower_bound(ObjectKey{"UpstreamTLSPolicy", {}, {}});
  return first != objects_.end() && first->first.kind == "UpstreamTLSPolicy";
}

}  // namespace handfast::state
