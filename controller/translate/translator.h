#pragma once
// From the cluster's objects to the proxy's configuration, going on from change to change: what a
// change costs follows what it touches.
//
//   update(everything) -> update(what was touched) -> …
//
// The work is cut into units: an Ingress, its default backend, a host, a port of a Service, an item
// of material, a policy, the targets of the policies of one Service, and a few that there is one
// of. Each remembers what it asked for, there or not (trace.h); what was touched leads to the units
// that asked for it, and they alone are worked on again. A round goes
//
//   settings -> which hosts Ingresses name -> Ingresses -> default backends -> hosts -> what is
//   shared
//
// so that each stage finds settled what it asks of the one before.
//
// After any row of changes the sum of what update() answered is what translate() makes of the state
// anew; translate() is this, run once.
//
// Pure but for what it remembers: no I/O, no logging. Threading: one thread's. Ownership: borrows
// state and last good, which change between the calls only.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/state/reader.h"
#include "controller/translate/aim.h"
#include "controller/translate/auth_server.h"
#include "controller/translate/backend_tls.h"
#include "controller/translate/client_auth.h"
#include "controller/translate/clusters.h"
#include "controller/translate/config_map.h"
#include "controller/translate/front_tls.h"
#include "controller/translate/global_auth.h"
#include "controller/translate/host_unit.h"
#include "controller/translate/ingress_class.h"
#include "controller/translate/ingress_unit.h"
#include "controller/translate/material.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/report.h"
#include "controller/translate/secrets.h"
#include "controller/translate/trace.h"
#include "controller/translate/upstream_policy.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// What is other than after the update before.
struct Change {
  // Everything is in it: what it doesn't name is gone.
  bool is_whole = false;
  // By their names; nothing: it is gone. One that was made again and is the same may be there too.
  std::map<std::string, std::optional<config::Shard>> shards;
  std::optional<config::KeyPairRef> default_certificate;  // as it is now
  config::Front front;                                    // as it is now
  FileSet files;  // of items that are new or other, or that a shard here names
  std::map<ItemKey, std::optional<GoodItem>> items;
  Report findings_over;
  Report findings_new;
  Tracer::References references;
};

// Makes `first` say what both say, one after the other.
void join(Change& first, Change second);

class Translator {
 public:
  using Touched = std::set<objects::ObjectKey>;

  Translator(const state::ClusterState& state, const LastGood& last_good, Options flags,
             std::int64_t now);
  Translator(const Translator&) = delete;
  Translator& operator=(const Translator&) = delete;

  // `touched`: of ClusterState::take_touched(), and last_good_topic() of items that are other.
  // The first call, and one with `whole`, works on everything.
  [[nodiscard]] Change update(const Touched& touched, std::int64_t now, bool whole = false);

  // Secrets and ConfigMaps that were asked for, there or not.
  [[nodiscard]] std::set<objects::ObjectKey> references() const { return tracer_.references(); }

 private:
  [[nodiscard]] Touched all_roots() const;
  void take_policies(const Touched& touched);
  void take_ingresses(const Touched& touched);
  void mark_singles();
  void mark_everything();
  void read_settings();
  void work_on_ingresses();
  void work_on_rests();
  void work_on_singles();
  void add_default_certificate();
  void add_session_tickets();
  void add_operator_default();
  void add_tcp_ports();

  [[nodiscard]] Change collect(bool whole);
  [[nodiscard]] std::vector<Unit*> sweep();
  [[nodiscard]] bool is_used(const Unit& unit) const;
  void collect(Unit& unit, Change& change);
  void collect_item(ItemUnit& unit, Change& change);
  void collect_policies(std::vector<config::UpstreamTls>& fresh,
                        const SortedSet<std::string>& names, SortedSet<std::string>& out,
                        Change& change);
  void collect_tcp_ports(Change& change);
  void drop(Unit& unit);

  const state::ClusterState& all_;
  const LastGood& last_good_;
  const Options flags_;
  Settings settings_;
  const Options& options_;  // its
  Tracer tracer_;
  state::Reader state_;
  Materials materials_;
  OperatorCrls operator_crls_;
  PolicyTargets targets_;
  UpstreamPolicies policies_;
  Clusters clusters_;
  ClassFilter classes_;
  BackendTls backend_tls_;
  ClientAuth client_auth_;
  FrontTls front_tls_;
  AuthServers auth_servers_;
  Aim aim_;
  GlobalAuth global_auth_;
  Hosts hosts_;
  IngressWorker worker_;
  std::map<objects::ObjectKey, IngressUnit> ingresses_;

  // Of which there is one.
  Unit settings_unit_{UnitKind::Single};
  Unit certificate_unit_{UnitKind::Single};
  Unit tickets_unit_{UnitKind::Single};
  Unit default_unit_{UnitKind::Single};
  Unit tcp_unit_{UnitKind::Single};
  std::optional<config::KeyPairRef> default_certificate_;
  std::vector<config::FileRef> ticket_keys_;
  std::optional<HostPlan::Route> default_route_;
  std::vector<config::TcpPort> tcp_ports_;
  std::set<std::string> tcp_out_;  // names of shards
  bool is_first_ = true;
};

}  // namespace handfast::translate
