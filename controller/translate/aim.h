#pragma once
// Leads routes to their Services, and to how these are connected to: by the policy of the Service,
// else by the annotations of the Ingress.
//
// What an Ingress is told of a Service it is told once, at the first path that leads there.
//
// Threading: one thread's. Ownership: borrows its parts.

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/auth_server.h"
#include "controller/translate/backend_tls.h"
#include "controller/translate/clusters.h"
#include "controller/translate/findings.h"
#include "controller/translate/ingress_plan.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/upstream_policy.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// What is known of an Ingress once some of its routes were led to their Services.
struct Aimed {
  std::set<std::string> told;  // clusters whose absence was reported
  // Whether the operator allows a Service without TLS was asked; the answer.
  bool plain_judged = false;
  std::optional<config::Refusal> plain_refused;
  std::set<std::string> policies;  // names of the shards of TLS policies that are its own
  bool global_auth_told = false;   // that the global auth server lies below its minimum
};

// One Ingress that is ours, while its routes are made.
struct Work {
  const objects::Ingress& ingress;
  ObjectReport& report;
  IngressPlan& plan;
  const ClientPlan& client;  // its, where routes find it
  Aimed& aimed;
  std::vector<config::UpstreamTls>& policies;  // of its own
};

class Aim {
 public:
  struct Parts {
    const state::Reader& state;
    const Options& options;
    Clusters& clusters;
    const PolicyTargets& targets;
    UpstreamPolicies& policies;
    BackendTls& backend_tls;
    AuthServers& auth_servers;
    OperatorCrls& operator_crls;
  };
  explicit Aim(const Parts& parts) : parts_(parts) {}

  void aim(Work& work, const objects::ServiceBackend& backend, const std::string& field,
           config::Route& route);
  // The auth server of its own that the routes of the Ingress ask.
  void aim_auth(Work& work);
  // As routes are led to their Services, but that the policy alone speaks of TLS.
  void aim_stream(const std::string& ns, const objects::ServiceBackend& backend,
                  const std::string& field, ObjectReport& report, config::StreamRoute& route);
  // The operator's default backend. Nobody's annotations speak of it.
  void aim_default(const NamespacedName& ref, ObjectReport& report, config::Route& route);

 private:
  void aim_by_annotations(Work& work, const objects::ServiceBackend& backend,
                          const objects::Service* found, config::Route& route);
  // Answers what the policy says about HTTP/2.
  std::optional<config::Http2> aim_by_policy(const PolicyTargets::Choice& choice,
                                             const objects::ServiceBackend& backend,
                                             const std::string& field, ObjectReport& report,
                                             config::Route& route);
  void add_policy(Work& work, config::UpstreamTls rules);

  const Parts parts_;
};

}  // namespace handfast::translate
