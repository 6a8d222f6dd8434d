#include "controller/objects/objects.h"

#include <algorithm>
#include <array>
#include <type_traits>

namespace handfast::objects {
namespace {

// As the API spells them, by the index of Object.
constexpr std::array<std::string_view, std::variant_size_v<Object>> kKinds{
    "Ingress",           "IngressClass",     "Secret",
    "ConfigMap",         "Service",          "EndpointSlice",
    "UpstreamTLSPolicy", "BackendTLSPolicy", "ReferenceGrant",
    "ClusterTrustBundle"};
static_assert(std::is_same_v<std::variant_alternative_t<0, Object>, Ingress>);
static_assert(std::is_same_v<std::variant_alternative_t<1, Object>, IngressClass>);
static_assert(std::is_same_v<std::variant_alternative_t<2, Object>, Secret>);
static_assert(std::is_same_v<std::variant_alternative_t<3, Object>, ConfigMap>);
static_assert(std::is_same_v<std::variant_alternative_t<4, Object>, Service>);
static_assert(std::is_same_v<std::variant_alternative_t<5, Object>, EndpointSlice>);
static_assert(std::is_same_v<std::variant_alternative_t<6, Object>, UpstreamTlsPolicy>);
static_assert(std::is_same_v<std::variant_alternative_t<7, Object>, BackendTlsPolicy>);
static_assert(std::is_same_v<std::variant_alternative_t<8, Object>, ReferenceGrant>);
static_assert(std::is_same_v<std::variant_alternative_t<9, Object>, ClusterTrustBundle>);

// Makes the statuses equal.
template <class T>
void copy_status(const T&, T&) {}
void copy_status(const Ingress& from, Ingress& to) { to.addresses = from.addresses; }
void copy_status(const Service& from, Service& to) { to.addresses = from.addresses; }
void copy_status(const UpstreamTlsPolicy& from, UpstreamTlsPolicy& to) { to.status = from.status; }
void copy_status(const BackendTlsPolicy& from, BackendTlsPolicy& to) { to.status = from.status; }

}  // namespace

const Meta& meta(const Object& object) {
  return std::visit([](const auto& held) -> const Meta& { return held.meta; }, object);
}

ObjectKey key(const Object& object) {
  const Meta& of = meta(object);
  return {std::string(kind_name(object.index())), of.ns, of.name};
}

std::string_view kind_name(std::size_t index) { return kKinds.at(index); }

std::size_t kind_index(std::string_view name) {
  const auto found = std::ranges::find(kKinds, name);
  return found == kKinds.end() ? kNoKind : static_cast<std::size_t>(found - kKinds.begin());
}

std::string to_string(const ObjectKey& key) {
  std::string text = key.kind;
  text += ' ';
  if (!key.ns.empty()) text.append(key.ns).append("/");
  text += key.name;
  return text;
}

template <class Kind>
bool same_content(const Kind& left, const Kind& right) {
  if (left == right) return true;
  Kind moved = right;
  moved.meta.origin = left.meta.origin;
  copy_status(left, moved);
  return left == moved;
}

bool same_content(const Object& left, const Object& right) {
  if (left.index() != right.index()) return false;
  return std::visit(
      [&right](const auto& held) {
        return same_content(held, std::get<std::remove_cvref_t<decltype(held)>>(right));
      },
      left);
}

template bool same_content(const Ingress&, const Ingress&);
template bool same_content(const IngressClass&, const IngressClass&);
template bool same_content(const Secret&, const Secret&);
template bool same_content(const ConfigMap&, const ConfigMap&);
template bool same_content(const Service&, const Service&);
template bool same_content(const EndpointSlice&, const EndpointSlice&);
template bool same_content(const UpstreamTlsPolicy&, const UpstreamTlsPolicy&);
template bool same_content(const BackendTlsPolicy&, const BackendTlsPolicy&);
template bool same_content(const ReferenceGrant&, const ReferenceGrant&);
template bool same_content(const ClusterTrustBundle&, const ClusterTrustBundle&);

}  // namespace handfast::objects
