#pragma once
// What admission must know of the cluster, kept ready: who claims which path, and the few objects
// that an Ingress or a policy is judged together with. A look-up costs the same whatever the number
// of Ingresses.
//
// Who claims first is translate's order (state::ClusterState::ingresses()). Ingresses of other
// classes are remembered, since an IngressClass that comes or changes makes them ours.
//
// Of Secrets, ConfigMaps and ClusterTrustBundles the names alone are kept: admission never sees a
// key.
//
// Threading: any thread; writers are told in order by their source.

#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <utility>

#include "controller/admission/claims.h"
#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/translate/options.h"

namespace handfast::admission {

class Index final {
 public:
  // Of which Secrets, ConfigMaps and ClusterTrustBundles apply() is told.
  enum class Told : unsigned char {
    All,
    Asked,  // those that translation asked for: of others it isn't known whether they are there
  };

  Index(const translate::Options& options, Told told);
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // --- what the source tells ---------------------------------------------------------------------

  void apply(const objects::Object& object);
  void remove(const objects::ObjectKey& key);
  // With Told::Asked: what is asked for from now on, and what of it has been looked for.
  void set_asked(const std::set<objects::ObjectKey>& asked);
  void add_answered(const objects::ObjectKey& key);
  void set_told(Told told);
  // Everything that was there at the start has been told.
  void set_synced();

  // --- what reviews ask --------------------------------------------------------------------------

  [[nodiscard]] bool is_synced() const;

  [[nodiscard]] bool is_ours(const objects::Ingress& ingress) const;

  struct Holder {
    std::string ingress;  // "shop/orders"
    bool passes = false;  // of a Host claim
  };
  // The first Ingress of ours with that claim, but for `except`.
  [[nodiscard]] std::optional<Holder> find_holder(const Claim& claim,
                                                  const objects::ObjectKey& except) const;

  // Known not to be there.
  [[nodiscard]] bool is_missing(const objects::ObjectKey& key) const;

  // What an object is judged together with.
  struct Neighbours {
    std::set<std::pair<std::string, std::string>> services;  // namespace and name
    std::set<std::string> granting;  // namespaces whose ReferenceGrants count
  };
  // Puts the IngressClasses, --configmap's ConfigMap, these Services, the policies that target
  // them, and the grants into `state`.
  void add_to(state::ClusterState& state, const Neighbours& neighbours) const;

 private:
  struct Entry;
  struct Rank;
  struct Claimant;
  struct Tables;

  void add_claims(Entry& entry);
  void take_claims(Entry& entry);
  void judge_classes();
  void forget_policy(const objects::ObjectKey& key);

  const translate::Options options_;
  mutable std::shared_mutex mutex_;
  Told told_;                       // guarded by mutex_
  std::unique_ptr<Tables> tables_;  // guarded by mutex_
};

}  // namespace handfast::admission
