#pragma once
// A ClusterState that keeps book of what is asked of it, found or not: what an answer rests on is
// what must be looked at again when one of these objects changes, comes or goes.
//
// Threading: as the state. Ownership: borrows state and book; look-ups give what the state's give.

#include <set>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"

namespace handfast::state {

class Reader {
 public:
  using Book = std::set<objects::ObjectKey>;

  Reader(const ClusterState& state, Book& asked) : state_(state), asked_(asked) {}

  [[nodiscard]] const objects::Secret* find_secret(std::string_view ns,
                                                   std::string_view name) const;
  [[nodiscard]] const objects::ConfigMap* find_config_map(std::string_view ns,
                                                          std::string_view name) const;
  [[nodiscard]] const objects::ConfigMap* find_crl_directory() const;
  [[nodiscard]] const objects::Service* find_service(std::string_view ns,
                                                     std::string_view name) const;
  [[nodiscard]] const objects::IngressClass* find_ingress_class(std::string_view name) const;
  [[nodiscard]] const objects::ClusterTrustBundle* find_trust_bundle(std::string_view name) const;
  [[nodiscard]] std::vector<const objects::EndpointSlice*> endpoint_slices(
      std::string_view ns, std::string_view service) const;

  // Every object of a kind: told to nobody.
  [[nodiscard]] const ClusterState& all() const { return state_; }

 private:
  const ClusterState& state_;
  Book& asked_;
};

}  // namespace handfast::state
