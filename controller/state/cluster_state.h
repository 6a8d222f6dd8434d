#pragma once
// The cache of all objects that a source has delivered: what translate reads.
//
// Threading: one thread's (the controller's loop). Lookups give borrowed pointers, good until the
// next apply().

#include <compare>
#include <cstddef>
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
    return find(key) != objects_.end();
  }

  // Topics of what was put or removed since the last call, by whose look-ups an answer may be
  // another now. Of what only moved in its file too: findings name the place. Nothing the first
  // time: whoever begins works on everything.
  [[nodiscard]] std::set<objects::ObjectKey> take_touched();
  // Of every object of a kind.
  [[nodiscard]] std::set<objects::ObjectKey> keys_of(std::string_view kind) const;

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
  // An object is found by what it says of itself: keys beside fifty thousand of them are megabytes.
  struct Entry {
    mutable Held held;  // replaced by one of the same key
  };
  struct Key {
    std::size_t kind = 0;  // index of Object
    std::string_view ns, name;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct ByKey {
    using is_transparent = void;
    static Key key(const Entry& entry) {
      return std::visit(
          [&entry](const auto& held) {
            return Key{entry.held.index(), held->meta.ns, held->meta.name};
          },
          entry.held);
    }
    static Key key(const Key& key) { return key; }
    bool operator()(const auto& left, const auto& right) const { return key(left) < key(right); }
  };
  using Objects = std::set<Entry, ByKey>;

  template <class Kind>
  [[nodiscard]] static const Kind* get_if(const Held& held);
  template <class Kind>
  [[nodiscard]] const Kind* find(std::string_view ns, std::string_view name) const;
  template <class Kind>
  [[nodiscard]] std::vector<const Kind*> all() const;
  template <class Kind>
  [[nodiscard]] std::vector<const Kind*> all_by_age() const;
  [[nodiscard]] Objects::const_iterator find(const objects::ObjectKey& key) const;

  void touch(const Entry& entry);
  void remember_slice(const Entry& entry);
  void forget_slice(const Entry& entry);

  Objects objects_;
  // (namespace, service) -> its slices, as they stand in objects_, by name.
  std::map<std::pair<std::string, std::string>, std::vector<const Entry*>> slices_;
  std::set<objects::ObjectKey> touched_;
  bool is_taken_ = false;  // once; before, nothing is noted
};

}  // namespace handfast::state
