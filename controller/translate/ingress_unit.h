#pragma once
// One Ingress as a unit of work: its plan, and what it claims of which hosts.
//
// What it claims depends on other Ingresses in two ways, and both are facts of hosts that it asks
// for: which Ingress came first and whether with it TLS passes through, and whether somebody has
// the path / by a rule. Its default backend is a unit of its own (the rest that rules leave),
// because every explicit path of any Ingress comes before it.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/aim.h"
#include "controller/translate/findings.h"
#include "controller/translate/global_auth.h"
#include "controller/translate/hosts_paths.h"
#include "controller/translate/ingress_class.h"
#include "controller/translate/ingress_plan.h"
#include "controller/translate/passthrough.h"
#include "controller/translate/trace.h"
#include "proxy/base/rare.h"
#include "proxy/base/sorted_set.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// creationTimestamp ascending (absent first), equal ones by "namespace/name" descending, as
// ingress-nginx does.
struct ClaimOrder {
  std::string creation_timestamp;
  std::string name;  // "shop/orders": compared as one text, '/' sorts after '-' and '.'
  friend bool operator==(const ClaimOrder&, const ClaimOrder&) = default;
  friend bool operator<(const ClaimOrder& left, const ClaimOrder& right) {
    if (left.creation_timestamp != right.creation_timestamp) {
      return left.creation_timestamp < right.creation_timestamp;
    }
    return left.name > right.name;
  }
};

struct Claim {
  HostPlan::Route route;
  std::string field;
};

// One rule that is used, or what an Ingress without rules says.
struct Placement {
  std::string host;
  std::vector<Claim> claims;
  Rare<config::StreamRoute> passthrough;  // then it claims nothing else
};

struct IngressUnit;

// The default backend.
struct RestUnit : Unit {
  explicit RestUnit(IngressUnit& ingress) : Unit(UnitKind::Rest), of(&ingress) {}
  IngressUnit* const of;
  // What the work on the rules leaves to it; null: there is no default backend any more.
  std::unique_ptr<const IngressPlan> plan;
  Aimed aimed;
  std::vector<Placement> placements;
  std::vector<config::UpstreamTls> fresh;  // its own TLS policies, until the change is collected
  SortedSet<std::string> shards;           // their names
  SortedSet<std::string> out;              // those that the last change knew of
};

struct IngressUnit : Unit {
  IngressUnit() : Unit(UnitKind::Ingress) {}
  const objects::ObjectKey* key = nullptr;  // by which it is kept
  // Before it is worked on: which hosts it names.
  bool is_there = false;  // and ours
  bool passes = false;
  bool has_rules = false;
  ClaimOrder order;
  SortedSet<std::string> hosts;
  // What came of the work.
  std::shared_ptr<const ClientPlan>
      client;  // null: it isn't ours; all who ask for nothing have one
  std::vector<Placement> placements;
  SortedSet<std::string> roots;            // hosts whose path / a rule of it claims
  std::vector<config::UpstreamTls> fresh;  // its own TLS policies, until the change is collected
  SortedSet<std::string> shards;           // their names
  SortedSet<std::string> out;              // those that the last change knew of
  std::unique_ptr<RestUnit> rest;          // if there is, or was, a default backend
};

// What an Ingress must know of a host that it names. Noted for the unit that is worked on.
class HostBook {
 public:
  virtual ~HostBook() = default;
  [[nodiscard]] virtual const HostHead& find_head(const std::string& host) = 0;
  // Does a rule claim its path /?
  [[nodiscard]] virtual bool has_root(const std::string& host) = 0;
};

class IngressWorker {
 public:
  struct Parts {
    const state::Reader& state;
    const Options& options;
    const ClassFilter& classes;
    const BackendTls& backend_tls;
    ClientAuth& client_auth;
    Clusters& clusters;
    const PolicyTargets& targets;
    Aim& aim;
    GlobalAuth& global_auth;
    HostBook& hosts;
    Tracer& tracer;
  };
  explicit IngressWorker(const Parts& parts) : parts_(parts) {}

  // Looks whether it is there and ours, and which hosts it names. Notes and tells nothing.
  void look(const state::ClusterState& state, IngressUnit& unit) const;
  void work(IngressUnit& unit);
  void work(RestUnit& unit);

 private:
  void place_rule(Work& work, std::size_t index, IngressUnit& unit);
  HostPlan::Route make_route(Work& work, const PathRule& rule,
                             const objects::IngressBackend& backend, const std::string& field);

  const Parts parts_;
};

}  // namespace handfast::translate
