#pragma once
// Which policy decides on a port of a Service: an UpstreamTLSPolicy on the port, one on the
// Service, a BackendTLSPolicy on the port, one on the Service, in this order; of several the
// oldest, then the first by name. Nothing of a loser is merged in.
//
// A policy that names a port which the Service doesn't have stands in the way of all of its ports
// but those with an UpstreamTLSPolicy of their own: a name with a typing mistake must not leave a
// port unprotected.
//
// The index of targets follows the policies one by one. What there is to tell of the policies of
// one Service is a unit of work.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/trace.h"

namespace handfast::translate {

// One policy of either kind. Borrowed from the state.
struct PolicyRef {
  const objects::UpstreamTlsPolicy* upstream = nullptr;
  const objects::BackendTlsPolicy* backend = nullptr;  // iff not upstream

  [[nodiscard]] const objects::Meta& meta() const;
  [[nodiscard]] std::string_view kind() const;
  [[nodiscard]] std::string text() const;  // "UpstreamTLSPolicy shop/orders"
  [[nodiscard]] const std::vector<objects::PolicyTarget>& targets() const;
  friend bool operator==(const PolicyRef&, const PolicyRef&) = default;
};

class PolicyTargets {
 public:
  // Borrows both.
  PolicyTargets(const state::Reader& state, Tracer& tracer) : state_(state), tracer_(tracer) {}

  struct Choice {
    PolicyRef policy;
    std::string missing_section;  // not empty: it names this port, which isn't there
  };
  // None: annotations decide. `service` is null if there is no such Service.
  [[nodiscard]] std::optional<Choice> find(std::string_view ns, const std::string& name,
                                           std::string_view port_name,
                                           const objects::Service* service) const;

  // The policy was put, in place of what it was before; or is gone. Marks who asked for the
  // policies of its Services, as they were and as they are.
  void put(const PolicyRef& policy);
  void remove(const objects::ObjectKey& policy);

  void mark_everything();
  // Does what is marked: targets that aren't there, and policies that lost.
  void tell();

  [[nodiscard]] static bool is_used(const Unit& unit);
  // After the unit was forgotten.
  void drop(const Unit& unit);

 private:
  struct Claim {
    PolicyRef policy;
    objects::ObjectKey of;
    std::size_t index = 0;  // in targetRefs
    std::string section;
  };
  using Claims = std::vector<Claim>;
  // Of one Service.
  struct Target : Unit {
    Target() : Unit(UnitKind::Target) {}
    std::string ns, service;
    Claims claims;  // in the order in which they count
  };
  using TargetKey = std::pair<std::string, std::string>;

  void tell_service(const objects::Service* service, const Claims& claims, Report& report) const;
  void tell_absent(const Target& target, Report& report) const;

  const state::Reader& state_;
  Tracer& tracer_;
  std::map<TargetKey, Target> targets_;
  std::map<objects::ObjectKey, std::vector<TargetKey>> of_policy_;
};

}  // namespace handfast::translate
