#include "controller/state/reader.h"

#include <string>

namespace handfast::state {
namespace {

objects::ObjectKey key(std::string_view kind, std::string_view ns, std::string_view name) {
  return {std::string(kind), std::string(ns), std::string(name)};
}

}  // namespace

const objects::Ingress* Reader::find_ingress(std::string_view ns, std::string_view name) const {
  book_.on_asked(key("Ingress", ns, name));
  return state_.find_ingress(ns, name);
}

const objects::Secret* Reader::find_secret(std::string_view ns, std::string_view name) const {
  book_.on_asked(key("Secret", ns, name));
  return state_.find_secret(ns, name);
}

const objects::ConfigMap* Reader::find_config_map(std::string_view ns,
                                                  std::string_view name) const {
  book_.on_asked(key("ConfigMap", ns, name));
  return state_.find_config_map(ns, name);
}

const objects::ConfigMap* Reader::find_operator_crls(std::string_view name) const {
  return find_config_map({}, name);
}

const objects::Service* Reader::find_service(std::string_view ns, std::string_view name) const {
  book_.on_asked(key("Service", ns, name));
  return state_.find_service(ns, name);
}

const objects::IngressClass* Reader::find_ingress_class(std::string_view name) const {
  book_.on_asked(key("IngressClass", {}, name));
  return state_.find_ingress_class(name);
}

const objects::ClusterTrustBundle* Reader::find_trust_bundle(std::string_view name) const {
  book_.on_asked(key("ClusterTrustBundle", {}, name));
  return state_.find_trust_bundle(name);
}

std::vector<const objects::EndpointSlice*> Reader::endpoint_slices(std::string_view ns,
                                                                   std::string_view service) const {
  book_.on_asked(slices_of(ns, service));
  return state_.endpoint_slices(ns, service);
}

std::vector<const objects::IngressClass*> Reader::ingress_classes() const {
  book_.on_asked(of_kind("IngressClass"));
  return state_.ingress_classes();
}

std::vector<const objects::ReferenceGrant*> Reader::reference_grants(std::string_view ns) const {
  book_.on_asked(grants_of(ns));
  return state_.reference_grants(ns);
}

}  // namespace handfast::state
