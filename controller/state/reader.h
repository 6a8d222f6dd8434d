#pragma once
// A ClusterState that tells what is asked of it, found or not: what an answer rests on is what must
// be looked at again when one of these objects changes, comes or goes.
//
// Topics are the keys of objects, and of what is asked for together: slices_of(), grants_of(),
// of_kind(). ClusterState::take_touched() speaks of the same.
//
// Threading: as the state. Ownership: borrows state and book; look-ups give what the state's give.

#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"

namespace handfast::state {

class Book {
 public:
  virtual ~Book() = default;
  virtual void on_asked(objects::ObjectKey topic) = 0;
};

// For whom it doesn't matter.
class NoBook final : public Book {
 public:
  void on_asked(objects::ObjectKey /*topic*/) override {}
};

class Reader {
 public:
  Reader(const ClusterState& state, Book& book) : state_(state), book_(book) {}

  [[nodiscard]] const objects::Ingress* find_ingress(std::string_view ns,
                                                     std::string_view name) const;
  [[nodiscard]] const objects::Secret* find_secret(std::string_view ns,
                                                   std::string_view name) const;
  [[nodiscard]] const objects::ConfigMap* find_config_map(std::string_view ns,
                                                          std::string_view name) const;
  [[nodiscard]] const objects::ConfigMap* find_operator_crls(std::string_view name) const;
  [[nodiscard]] const objects::Service* find_service(std::string_view ns,
                                                     std::string_view name) const;
  [[nodiscard]] const objects::IngressClass* find_ingress_class(std::string_view name) const;
  [[nodiscard]] const objects::ClusterTrustBundle* find_trust_bundle(std::string_view name) const;
  [[nodiscard]] std::vector<const objects::EndpointSlice*> endpoint_slices(
      std::string_view ns, std::string_view service) const;
  [[nodiscard]] std::vector<const objects::IngressClass*> ingress_classes() const;
  // Of one namespace.
  [[nodiscard]] std::vector<const objects::ReferenceGrant*> reference_grants(
      std::string_view ns) const;

 private:
  const ClusterState& state_;
  Book& book_;
};

}  // namespace handfast::state
