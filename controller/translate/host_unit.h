#pragma once
// One host as a unit of work: its shard, put together from what the Ingresses that name it claim,
// in the order in which they do.
//
// Threading: one thread's. Ownership: borrows its parts and the Ingresses' units.

#include <map>
#include <optional>
#include <string>

#include "controller/state/reader.h"
#include "controller/translate/client_auth.h"
#include "controller/translate/front_tls.h"
#include "controller/translate/hosts_paths.h"
#include "controller/translate/ingress_unit.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/trace.h"
#include "proxy/base/rare.h"
#include "proxy/base/sorted_set.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct HostUnit : Unit {
  HostUnit() : Unit(UnitKind::Host) {}
  const std::string* name = nullptr;  // by which it is kept
  // That name it, in the order in which they claim: taken out before it changes.
  struct InOrder {
    bool operator()(const IngressUnit* left, const IngressUnit* right) const {
      return left->order < right->order;
    }
  };
  SortedSet<const IngressUnit*, InOrder> ingresses;
  HostHead head;
  std::size_t roots = 0;  // Ingresses with a rule that claims its path /
  // What came of the work, until the change is collected.
  Rare<config::VirtualHost> fresh;
};

class Hosts final : public HostBook {
 public:
  struct Parts {
    const state::Reader& state;
    FrontTls& front_tls;
    ClientAuth& client_auth;
    OperatorCrls& operator_crls;
    Tracer& tracer;
  };
  explicit Hosts(const Parts& parts) : parts_(parts) {}

  const HostHead& find_head(const std::string& host) override;
  bool has_root(const std::string& host) override;

  // The Ingress as it was is taken out, before it is looked at again; as it is now, it is put in.
  // Marks the hosts, and which Ingresses must look at one again.
  void take_out(const IngressUnit& ingress);
  void put_in(IngressUnit& ingress);
  // After all were put in: what became of the heads.
  void settle_heads();
  // Before and after the Ingress is worked on.
  void take_roots(const IngressUnit& ingress);
  void put_roots(const IngressUnit& ingress);
  void settle_roots();
  // Its default backend was worked on.
  void mark(const IngressUnit& ingress);

  // The route of the operator's default backend; then there is a host for all others.
  void set_default(std::optional<HostPlan::Route> route);

  void mark_everything();
  // Does what is marked.
  void refresh();
  [[nodiscard]] bool is_used(const HostUnit& unit) const;
  void drop(const HostUnit& unit) { hosts_.erase(hosts_.find(*unit.name)); }

 private:
  HostUnit& unit_of(const std::string& name);
  void assemble(HostUnit& unit, Report& findings);
  void place(const IngressUnit& ingress, const Placement& placement, HostPlan& plan,
             Report& findings);
  void claim(const objects::Ingress& ingress, const Claim& claim, HostPlan& plan,
             ObjectReport& report);

  const Parts parts_;
  std::map<std::string, HostUnit> hosts_;
  std::optional<HostPlan::Route> default_;
  std::map<std::string, HostHead> heads_before_;
  std::map<std::string, bool> roots_before_;
};

}  // namespace handfast::translate
