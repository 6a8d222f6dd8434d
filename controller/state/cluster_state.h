#pragma once
// The cache of all objects that a source has delivered: what translate reads.
//
// Threading: one thread's (the controller's loop). Lookups give borrowed pointers, good until the
// next apply().

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "controller/objects/objects.h"

namespace handfast::state {

// Topics for what is asked for together. No kind of Kubernetes' is called like the first.
[[nodiscard]] objects::ObjectKey slices_of(std::string_view ns, std::string_view service);
[[nodiscard]] objects::ObjectKey grants_of(std::string_view ns);
[[nodiscard]] objects::ObjectKey of_kind(std::string_view kind);

class ClusterState {
 public:
  // Puts or replaces. Answers whether anything changed but the place where it was read.
  bool apply(objects::Object object);
  // Takes it out. Answers whether it was there.
  bool remove(const objects::ObjectKey& key);

  [[nodiscard]] const objects::Meta* find_meta(const objects::ObjectKey& key) const;
  [[nodiscard]] bool contains(const objects::ObjectKey& key) const {
    return objects_.contains(key);
  }

  // Topics of what was put or removed since the last call, by whose look-ups an answer may be
  // another now. Of what only moved in its file too: findings name the place.
  [[nodiscard]] std::set<objects::ObjectKey> take_touched();
  // Of every object.
  [[nodiscard]] std::set<objects::ObjectKey> keys() const;

  [[nodiscard]] const objects::Ingress* find_ingress(std::string_view ns,
                                                     std::string_view name) const;
  [[nodiscard]] const objects::Secret* find_secret(std::string_view ns,
                                                   std::string_view name) const;
  [[nodiscard]] const objects::ConfigMap* find_config_map(std::string_view ns,
                                                          std::string_view name) const;
  // The files of --crl-dir; null: there is none.
  [[nodiscard]] const objects::ConfigMap* find_operator_crls(std::string_view name) const;
  [[nodiscard]] const objects::Service* find_service(std::string_view ns,
                                                     std::string_view name) const;
  [[nodiscard]] const objects::IngressClass* find_ingress_class(std::string_view name) const;
  [[nodiscard]] const objects::ClusterTrustBundle* find_trust_bundle(std::string_view name) const;
  [[nodiscard]] const objects::UpstreamTlsPolicy* find_upstream_tls_policy(
      std::string_view ns, std::string_view name) const;
  [[nodiscard]] const objects::BackendTlsPolicy* find_backend_tls_policy(
      std::string_view ns, std::string_view name) const;
  // Slices of one Service, in the order of their names.
  [[nodiscard]] std::vector<const objects::EndpointSlice*> endpoint_slices(
      std::string_view ns, std::string_view service) const;

  // Ingresses in the order in which they claim paths: creationTimestamp ascending (absent first),
  // equal ones by namespace/name descending, as ingress-nginx does.
  [[nodiscard]] std::vector<const objects::Ingress*> ingresses() const;
  [[nodiscard]] std::vector<const objects::IngressClass*> ingress_classes() const;
  // Policies in the order in which they count: oldest first, equal ones by namespace and name.
  [[nodiscard]] std::vector<const objects::UpstreamTlsPolicy*> upstream_tls_policies() const;
  [[nodiscard]] bool has_upstream_tls_policies() const;
  [[nodiscard]] std::vector<const objects::BackendTlsPolicy*> backend_tls_policies() const;
  // Of one namespace.
  [[nodiscard]] std::vector<const objects::ReferenceGrant*> reference_grants(
      std::string_view ns) const;

 private:
  // One of the kinds. Not an Object, whose every kind takes the room of the largest.
  template <class>
  struct HeldOf;
  template <class... Kinds>
  struct HeldOf<std::variant<Kinds...>> {
    using Type = std::variant<std::unique_ptr<const Kinds>...>;
  };
  using Held = HeldOf<objects::Object>::Type;
  using Objects = std::map<objects::ObjectKey, Held>;

  template <class Kind>
  [[nodiscard]] static const Kind* get_if(const Held& held);
  template <class Kind>
  [[nodiscard]] const Kind* find(std::string_view kind, std::string_view ns,
                                 std::string_view name) const;
  template <class Kind>
  [[nodiscard]] std::vector<const Kind*> all(std::string_view kind) const;
  template <class Kind>
  [[nodiscard]] std::vector<const Kind*> all_by_age(std::string_view kind) const;

  void touch(const objects::ObjectKey& key, const Held& held);
  void remember_slice(const Objects::value_type& entry);
  void forget_slice(const Objects::value_type& entry);

  Objects objects_;
  // (namespace, service) -> its slices, as they stand in objects_, by name.
  std::map<std::pair<std::string, std::string>, std::vector<const Objects::value_type*>> slices_;
  std::set<objects::ObjectKey> touched_;
};

}  // namespace handfast::state
