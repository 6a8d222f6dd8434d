#include "controller/objects/objects.h"

#include <type_traits>

namespace handfast::objects {
namespace {

// The kind of each type as the API spells it.
constexpr std::string_view kind_of(const Ingress&) { return "Ingress"; }
constexpr std::string_view kind_of(const IngressClass&) { return "IngressClass"; }
constexpr std::string_view kind_of(const Secret&) { return "Secret"; }
constexpr std::string_view kind_of(const ConfigMap&) { return "ConfigMap"; }
constexpr std::string_view kind_of(const Service&) { return "Service"; }
constexpr std::string_view kind_of(const EndpointSlice&) { return "EndpointSlice"; }
constexpr std::string_view kind_of(const UpstreamTlsPolicy&) { return "UpstreamTLSPolicy"; }
constexpr std::string_view kind_of(const BackendTlsPolicy&) { return "BackendTLSPolicy"; }
constexpr std::string_view kind_of(const ReferenceGrant&) { return "ReferenceGrant"; }
constexpr std::string_view kind_of(const ClusterTrustBundle&) { return "ClusterTrustBundle"; }

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
  return std::visit(
      [](const auto& held) {
        return ObjectKey{std::string(kind_of(held)), held.meta.ns, held.meta.name};
      },
      object);
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
