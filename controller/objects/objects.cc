#include "controller/objects/objects.h"

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

bool same_content(const Object& left, const Object& right) {
  if (left.index() != right.index()) return false;
  if (meta(left).origin == meta(right).origin) return left == right;
  Object moved = right;
  std::visit([&](auto& held) { held.meta.origin = meta(left).origin; }, moved);
  return left == moved;
}

}  // namespace handfast::objects
