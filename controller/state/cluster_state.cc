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

namespace {

// The index of a kind.
template <class Kind, std::size_t index = 0>
constexpr std::size_t index_of() {
  if constexpr (std::is_same_v<std::variant_alternative_t<index, objects::Object>, Kind>) {
    return index;
  } else {
    return index_of<Kind, index + 1>();
  }
}

}  // namespace

template <class Kind>
const Kind* ClusterState::get_if(const Held& held) {
  const auto* const kept = std::get_if<std::unique_ptr<const Kind>>(&held);
  return kept == nullptr ? nullptr : kept->get();
}

ClusterState::Objects::const_iterator ClusterState::find(const ObjectKey& key) const {
  return objects_.find(Key{objects::kind_index(key.kind), key.ns, key.name});
}

template <class Kind>
const Kind* ClusterState::find(std::string_view ns, std::string_view name) const {
  const auto found = objects_.find(Key{index_of<Kind>(), ns, name});
  return found == objects_.end() ? nullptr : get_if<Kind>(found->held);
}

// Every object of one kind: they stand together, since the kind comes first in the key.
template <class Kind>
std::vector<const Kind*> ClusterState::all() const {
  std::vector<const Kind*> found;
  for (auto at = objects_.lower_bound(Key{index_of<Kind>(), {}, {}}); at != objects_.end(); ++at) {
    const Kind* const object = get_if<Kind>(at->held);
    if (object == nullptr) break;
    found.push_back(object);
  }
  return found;
}

template <class Kind>
std::vector<const Kind*> ClusterState::all_by_age() const {
  auto found = all<Kind>();
  std::ranges::stable_sort(found, {}, [](const Kind* object) -> std::string_view {
    return object->meta.creation_timestamp;
  });
  return found;
}

bool ClusterState::apply(objects::Object object) {
  const objects::Meta& meta = objects::meta(object);
  const auto old = objects_.find(Key{object.index(), meta.ns, meta.name});
  return std::visit(
      [&](auto& now) {
        using Kind = std::remove_cvref_t<decltype(now)>;
        const bool is_change =
            old == objects_.end() || !same_content(*get_if<Kind>(old->held), now);
        if (old != objects_.end()) {
          touch(*old);
          if (is_change) forget_slice(*old);
        }
        // Stored even then: its file and line may have changed, which findings name.
        Held held = std::make_unique<const Kind>(std::move(now));
        auto place = old;
        if (old == objects_.end()) {
          place = objects_.insert(Entry{std::move(held)}).first;
        } else {
          old->held = std::move(held);
        }
        touch(*place);
        if (is_change) remember_slice(*place);
        return is_change;
      },
      object);
}

bool ClusterState::remove(const ObjectKey& key) {
  const auto found = find(key);
  if (found == objects_.end()) return false;
  touch(*found);
  forget_slice(*found);
  objects_.erase(found);
  return true;
}

std::set<objects::ObjectKey> ClusterState::take_touched() {
  is_taken_ = true;
  return std::exchange(touched_, {});
}

std::set<objects::ObjectKey> ClusterState::keys_of(std::string_view kind) const {
  std::set<objects::ObjectKey> keys;
  const std::size_t index = objects::kind_index(kind);
  for (auto at = objects_.lower_bound(Key{index, {}, {}}); at != objects_.end(); ++at) {
    const Key key = ByKey::key(*at);
    if (key.kind != index) break;
    keys.insert(keys.end(), {std::string(kind), std::string(key.ns), std::string(key.name)});
  }
  return keys;
}

void ClusterState::touch(const Entry& entry) {
  if (!is_taken_) return;
  const Key key = ByKey::key(entry);
  if (const auto* const slice = get_if<objects::EndpointSlice>(entry.held)) {
    touched_.insert(slices_of(key.ns, slice->service));
    return;
  }
  const std::string_view kind = objects::kind_name(key.kind);
  touched_.insert({std::string(kind), std::string(key.ns), std::string(key.name)});
  if (key.kind == index_of<objects::ReferenceGrant>()) touched_.insert(grants_of(key.ns));
  if (key.kind == index_of<objects::IngressClass>()) touched_.insert(of_kind(kind));
}

void ClusterState::remember_slice(const Entry& entry) {
  const auto* const slice = get_if<objects::EndpointSlice>(entry.held);
  if (slice == nullptr || slice->service.empty()) return;
  auto& slices = slices_[{slice->meta.ns, slice->service}];
  slices.insert(std::ranges::lower_bound(slices, ByKey::key(entry), {},
                                         [](const Entry* one) { return ByKey::key(*one); }),
                &entry);
}

void ClusterState::forget_slice(const Entry& entry) {
  const auto* const slice = get_if<objects::EndpointSlice>(entry.held);
  if (slice == nullptr || slice->service.empty()) return;
  const auto found = slices_.find({slice->meta.ns, slice->service});
  if (found == slices_.end()) return;
  std::erase(found->second, &entry);
  if (found->second.empty()) slices_.erase(found);
}

const objects::Meta* ClusterState::find_meta(const ObjectKey& key) const {
  const auto found = find(key);
  if (found == objects_.end()) return nullptr;
  return std::visit([](const auto& held) { return &held->meta; }, found->held);
}

const objects::Ingress* ClusterState::find_ingress(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Ingress>(ns, name);
}

const objects::Secret* ClusterState::find_secret(std::string_view ns, std::string_view name) const {
  return find<objects::Secret>(ns, name);
}

const objects::ConfigMap* ClusterState::find_config_map(std::string_view ns,
                                                        std::string_view name) const {
  return find<objects::ConfigMap>(ns, name);
}

const objects::ConfigMap* ClusterState::find_operator_crls(std::string_view name) const {
  return find_config_map({}, name);
}

const objects::Service* ClusterState::find_service(std::string_view ns,
                                                   std::string_view name) const {
  return find<objects::Service>(ns, name);
}

const objects::IngressClass* ClusterState::find_ingress_class(std::string_view name) const {
  return find<objects::IngressClass>({}, name);
}

const objects::ClusterTrustBundle* ClusterState::find_trust_bundle(std::string_view name) const {
  return find<objects::ClusterTrustBundle>({}, name);
}

const objects::UpstreamTlsPolicy* ClusterState::find_upstream_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::UpstreamTlsPolicy>(ns, name);
}

const objects::BackendTlsPolicy* ClusterState::find_backend_tls_policy(
    std::string_view ns, std::string_view name) const {
  return find<objects::BackendTlsPolicy>(ns, name);
}

std::vector<const objects::EndpointSlice*> ClusterState::endpoint_slices(
    std::string_view ns, std::string_view service) const {
  std::vector<const objects::EndpointSlice*> found;
  const auto slices = slices_.find({std::string(ns), std::string(service)});
  if (slices == slices_.end()) return found;
  for (const auto* const entry : slices->second) {
    found.push_back(get_if<objects::EndpointSlice>(entry->held));
  }
  return found;
}

std::vector<const objects::Ingress*> ClusterState::ingresses() const {
  auto found = all<objects::Ingress>();
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
  return all<objects::IngressClass>();
}

std::vector<const objects::UpstreamTlsPolicy*> ClusterState::upstream_tls_policies() const {
  return all_by_age<objects::UpstreamTlsPolicy>();
}

std::vector<const objects::BackendTlsPolicy*> ClusterState::backend_tls_policies() const {
  return all_by_age<objects::BackendTlsPolicy>();
}

std::vector<const objects::ReferenceGrant*> ClusterState::reference_grants(
    std::string_view ns) const {
  std::vector<const objects::ReferenceGrant*> found;
  for (auto at = objects_.lower_bound(Key{index_of<objects::ReferenceGrant>(), ns, {}});
       at != objects_.end(); ++at) {
    const auto* const grant = get_if<objects::ReferenceGrant>(at->held);
    if (grant == nullptr || grant->meta.ns != ns) break;
    found.push_back(grant);
  }
  return found;
}

bool ClusterState::has_upstream_tls_policies() const {
  const auto first = objects_.lower_bound(Key{index_of<objects::UpstreamTlsPolicy>(), {}, {}});
  return first != objects_.end() && get_if<objects::UpstreamTlsPolicy>(first->held) != nullptr;
}

}  // namespace handfast::state
