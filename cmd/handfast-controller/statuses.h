#pragma once
// What the controller writes to a cluster, as its flags say: statuses and Events, by the replica
// that leads.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "controller/kube/api.h"
#include "controller/publish/proxy_client.h"
#include "controller/reconcile/reconciler.h"
#include "controller/status/ingress_status.h"
#include "controller/status/keeper.h"
#include "controller/status/live_pods.h"
#include "controller/status/node_addresses.h"
#include "controller/status/status_reporter.h"
#include "controller/translate/options.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"

namespace handfast {

struct StatusSettings {
  bool update = true;                                        // --update-status
  status::Addresses addresses;                               // --publish-status-address
  std::optional<translate::NamespacedName> publish_service;  // --publish-service
  bool internal_addresses = false;                           // --report-node-internal-ip-address
  std::string election_id;
  std::chrono::seconds election_ttl{};
  bool is_alone = false;  // --disable-leader-election
  std::string pod;        // $POD_NAME, else the machine's name
  std::string ns;         // $POD_NAMESPACE, else that of the kubeconfig's context
};

void add_status_flags(OptionSet& options);
[[nodiscard]] Result<StatusSettings> read_status_flags(const ParsedOptions& parsed);

// Threading: made, started and stopped on one thread; parts() are the reconciler's. Ownership:
// borrows what it is given.
class Statuses {
 public:
  Statuses(StatusSettings settings, kube::Api& api, publish::ProxyControl& proxy,
           const translate::Options& options, const Clock& clock);
  ~Statuses();
  Statuses(const Statuses&) = delete;
  Statuses& operator=(const Statuses&) = delete;

  [[nodiscard]] reconcile::StatusParts& parts() { return parts_; }
  void start();
  // Gives the lease up. After the reconciler has ended.
  void stop();

 private:
  const StatusSettings settings_;
  status::LivePods pods_;
  status::NodeAddresses nodes_;
  status::Keeper keeper_;
  status::StatusReporter reporter_;
  reconcile::StatusParts parts_;
  std::thread thread_;
};

}  // namespace handfast
