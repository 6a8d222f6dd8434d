#include "controller/state/cluster_state.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace handfast::state {
namespace {

using objects::ObjectKey;

using Objects = std::map<ObjectKey, objects::Object>;

template <class T>
const T* find(const Objects& objects, std::string_view kind, std::string_view ns,
              std::string_view name) {
  const auto found = objects.find(ObjectKey{std::string(kind), std::string(ns), std::string(name)});
  return found == objects.end() ? nullptr : std::get_if<T>(&found->second);
}

// Every object of one kind: they stand together, since the kind comes first in the key.
template <class T>
std::vector<const T*> all(const Objects& objects, std::string_view kind) {
  std::vector<const T*> found;
  for (auto at = objects.lower_bound(ObjectKey{std::string(kind), {}, {}});
       at != objects.end() && at->first.kind == kind; ++at) {
    if (const T* object = std::get_if<T>(&at->second)) found.push_back(object);
  }
  return found;
}

template <class T>
std::vector<const T*> all_by_age(const Objects& objects, std::string_view kind) {
  auto found = all<T>(objects, kind);
  std::ranges::stable_sort(found, {}, [](const T* object) -> std::string_view {
    return object->meta.creation_timestamp;
  });
  return found;
}

}  // namespace

objects::ObjectKey slices_of(std::string_view ns, std::string_view service) {
  return {"slices of", std::string(ns), std::string(service)};
}

objects::ObjectKey grants_of(std::string_view ns) {
  return {"ReferenceGrant", std::string(ns), {}};
}

objects::ObjectKey of_kind(std::string_view kind) { return {std::string(kind), {}, {}}; }

bool ClusterState::apply(objects::Object object) {
  const ObjectKey key = objects::key(object);
  const auto old = objects_.find(key);
  const bool is_change = old == objects_.end() || !objects::same_content(old->second, object);
  // Stored even then: its file and line may have changed, which findings name.
  if (old != objects_.end()) {
    touch(key, old->second);
    if (is_change) forget_slice(key, old->second);
    old->second = std::move(object);
  } else {
    objects_.emplace(key, std::move(object));
  }
  const objects::Object& stored = objects_.at(key);
  touch(key, stored);
  if (is_change) remember_slice(key, stored);
  return is_change;
}

bool ClusterState::remove(const ObjectKey& key) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return false;
  touch(found->first, found->second);
  forget_slice(found->first, found->second);
  objects_.erase(found);
  return true;
}

std::set<objects::ObjectKey> ClusterState::take_touched() { return std::exchange(touched_, {}); }

std::set<objects::ObjectKey> ClusterState::keys() const {
  std::set<objects::ObjectKey> keys;
  for (const auto& [key, object] : objects_) keys.insert(keys.end(), key);
  return keys;
}

void ClusterState::touch(const ObjectKey& key, const objects::Object& object) {
  if (const auto* const slice = std::get_if<objects::EndpointSlice>(&object)) {
    touched_.insert(slices_of(key.ns, slice->service));
    return;
  }
  touched_.insert(key);
  if (key.kind == "ReferenceGrant") touched_.insert(grants_of(key.ns));
  if (key.kind == "IngressClass") touched_.insert(of_kind(key.kind));
}

void ClusterState::remember_slice(const ObjectKey& key, const objects::Object& object) {
  const auto* const slice = std::get_if<objects::EndpointSlice>(&object);
  if (slice == nullptr || slice->service.empty()) return;
  auto& keys = slices_[{key.ns, slice->service}];
  keys.insert(std::ranges::lower_bound(keys, key), key);
}

void ClusterState::forget_slice(const ObjectKey& key, const objects::Object& object) {
  const auto* const slice = std::get_if<objects::EndpointSlice>(&object);
  if (slice == nullptr || slice->service.empty()) return;
  const auto found = slices_.find({key.ns, slice->service});
  if (found == slices_.end()) return;
  std::erase(found->second, key);
  if (found->second.empty()) slices_.erase(found);
}

const objects::Object* ClusterState::find_object(const ObjectKey& key) const {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : &found->second;
}

const objects::Ingress* ClusterState::find_ingress(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Ingress>(objects_, "Ingress", ns, name);
}

const objects::Secret* ClusterState::find_secret(std::string_view ns, std::string_view name) const {
  return find<objects::Secret>(objects_, "Secret", ns, name);
}

const objects::ConfigMap* ClusterState::find_config_map(std::string_view ns,
                                                        std::string_view name) const {
  return find<objects::ConfigMap>(objects_, "ConfigMap", ns, name);
}

const objects::ConfigMap* ClusterState::find_operator_crls(std::string_view name) const {
  return find_config_map({}, name);
}

const objects::Service* ClusterState::find_service(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Service>(objects_, "Service", ns, name);
}

const objects::IngressClass* ClusterState::find_ingress_class(std::string_view name) const {
  return find<objects::IngressClass>(objects_, "IngressClass", {}, name);
}

const objects::ClusterTrustBundle* ClusterState::find_trust_bundle(std::string_view name) const {
  return find<objects::ClusterTrustBundle>(objects_, "ClusterTrustBundle", {}, name);
}

const objects::UpstreamTlsPolicy* ClusterState::find_upstream_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::UpstreamTlsPolicy>(objects_, "UpstreamTLSPolicy", ns, name);
}

const objects::BackendTlsPolicy* ClusterState::find_backend_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::BackendTlsPolicy>(objects_, "BackendTLSPolicy", ns, name);
}

std::vector<const objects::EndpointSlice*> ClusterState::endpoint_slices(
    std::string_view ns, std::string_view service) const {
  std::vector<const objects::EndpointSlice*> found;
  const auto keys = slices_.find({std::string(ns), std::string(service)});
  if (keys == slices_.end()) return found;
  for (const ObjectKey& key : keys->second) {
    if (const auto* slice = std::get_if<objects::EndpointSlice>(&objects_.at(key))) {
      found.push_back(slice);
    }
  }
  return found;
}

std::vector<const objects::Ingress*> ClusterState::ingresses() const {
  auto found = all<objects::Ingress>(objects_, "Ingress");
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
  return all<objects::IngressClass>(objects_, "IngressClass");
}

std::vector<const objects::UpstreamTlsPolicy*> ClusterState::upstream_tls_policies() const {
  return all_by_age<objects::UpstreamTlsPolicy>(objects_, "UpstreamTLSPolicy");
}

std::vector<const objects::BackendTlsPolicy*> ClusterState::backend_tls_policies() const {
  return all_by_age<objects::BackendTlsPolicy>(objects_, "BackendTLSPolicy");
}

std::vector<const objects::ReferenceGrant*> ClusterState::reference_grants(
    std::string_view ns) const {
  std::vector<const objects::ReferenceGrant*> found;
  for (auto at = objects_.lower_bound(grants_of(ns));
       at != objects_.end() && at->first.kind == "ReferenceGrant" && at->first.ns == ns; ++at) {
    if (const auto* grant = std::get_if<objects::ReferenceGrant>(&at->second)) {
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
