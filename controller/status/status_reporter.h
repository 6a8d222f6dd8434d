#pragma once
// From a round of the controller to what is to be written: statuses of Ingresses and of
// policies, and Events. It compares with what the API server shows and wants only what
// differs; the Keeper sends.
//
// A round looks at everything, so it costs what there is: call it once a second at most.
//
// Threading: one thread's. Ownership: borrows its parts.

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/publish/manifest.h"
#include "controller/state/cluster_state.h"
#include "controller/status/ancestor_status.h"
#include "controller/status/events.h"
#include "controller/status/ingress_status.h"
#include "controller/status/policy_status.h"
#include "controller/translate/options.h"

namespace handfast::status {

class StatusReporter {
 public:
  struct Settings {
    Reporter reporter;                                 // its instance is our pod
    std::string installation;                          // the Lease, as "namespace/name"
    bool update_ingresses = true;                      // --update-status
    Addresses addresses;                               // --publish-status-address
    std::optional<translate::NamespacedName> service;  // --publish-service
  };

  struct Round {
    const state::ClusterState& state;
    // Since the round before: Ingresses, classes or Services, and with them what an Ingress says.
    bool are_ingresses_touched = true;
    const publish::Manifest& manifest;  // of the newest generation
    bool is_served = false;             // our proxy has acknowledged it
    const std::map<std::string, config::Rejection, std::less<>>& rejected;  // by shard
    const config::StateAnswer* proxy = nullptr;                    // null: it didn't answer
    std::function<bool(const objects::ReplicaStatus&)> is_gone{};  // none: unknown
    // Of the nodes, for where nothing else is named; none: unknown.
    std::function<Addresses()> node_addresses{};
  };

  // What only changed in how handshakes went is written this often.
  static constexpr std::chrono::seconds kHandshakeNews{10};
  // An Event lives an hour; what is still so by then is told again.
  static constexpr std::chrono::minutes kTellEventsAgain{50};

  StatusReporter(Wishes& wishes, const Clock& clock, const translate::Options& options,
                 Settings settings);

  // Findings that are over, and those that are new, since the call before.
  void note(const translate::Report& over, const translate::Report& added);

  void tell(const Round& round);

 private:
  struct Loaded;
  struct Standing {
    translate::Finding finding;
    std::string uid;    // of the object, when it was looked at last
    std::string event;  // its key; empty: not wanted yet
    Monotonic told_at;
  };

  // Whether those of the nodes are others than in the round before.
  bool note_node_addresses(const Round& round);
  void tell_ingresses(const Round& round);
  void tell_events(const Round& round);
  void tell_policy(const Round& round, const objects::UpstreamTlsPolicy& policy,
                   const Loaded& loaded);
  void tell_gateway_policy(const Round& round, const objects::BackendTlsPolicy& policy);
  [[nodiscard]] std::vector<const translate::Finding*> findings_about(
      const objects::ObjectKey& object) const;
  void tell_own(const PolicyView& view, const objects::ReplicaStatus& own);
  void tell_leaders(const Round& round, const PolicyView& view, const objects::ReplicaStatus& own);

  Wishes& wishes_;
  const Clock& clock_;
  const translate::Options& options_;
  const Settings settings_;
  std::map<objects::ObjectKey, std::vector<Standing>> findings_;
  std::map<std::string, Monotonic> handshakes_told_;  // by policy
  // Keys of writes that are wanted: what isn't any more must not be sent by who leads later.
  std::set<std::string> ingresses_;
  Addresses node_addresses_;
  std::set<std::string> leaders_;  // about policies, of the round under way
};

}  // namespace handfast::status
