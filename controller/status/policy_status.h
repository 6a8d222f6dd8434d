#pragma once
// What the status of an UpstreamTLSPolicy says (docs/upstream-tls-policy.md, "Status").
//
// Each replica writes one entry of status.replicas, under a field manager of its own: what its
// proxy has loaded and whom it reached. The leader makes everything else of those entries and of
// its own translation: a policy is Programmed once every replica's proxy serves the same.
//
// Installations, which have a leader each, may share a policy. Those count that have a route to its
// targets, or all of them while none has; the first of these by name writes what is common.
//
// Pure; thread-safe.

#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/policies.h"
#include "controller/translate/report.h"
#include "proxy/base/clock.h"
#include "proxy/config/control.h"

namespace handfast::status {

// A policy as one replica sees it. Borrows all.
struct PolicyView {
  const objects::UpstreamTlsPolicy& policy;
  std::vector<const translate::Finding*> findings;  // about the policy

  // Of its TLS shards in the newest generation, "name=hash" each, sorted.
  std::vector<std::string> shards;
  bool is_served = false;  // our proxy has acknowledged that generation
  const config::Rejection* rejected = nullptr;

  // From the proxy's /v1/state: of its shards, and of the endpoints that they lead to.
  std::vector<const config::PolicyState*> loaded;
  std::vector<const config::EndpointState*> endpoints;
};

[[nodiscard]] objects::ReplicaStatus replica_status(const PolicyView& view,
                                                    std::string_view installation,
                                                    std::string_view pod);

// Those that count, in the order of installation and pod.
[[nodiscard]] std::vector<objects::ReplicaStatus> replicas_that_count(
    std::vector<objects::ReplicaStatus> replicas);

// Conditions in the order of the CRD's list; one that didn't change keeps its time.
[[nodiscard]] std::vector<objects::StatusCondition> policy_conditions(
    const PolicyView& view, const std::vector<objects::ReplicaStatus>& replicas, UnixSeconds now);

// Accepted and ResolvedRefs in the words of Gateway API, where a policy that can't be satisfied
// isn't accepted. `old`: what our entry said before.
[[nodiscard]] std::vector<objects::StatusCondition> ancestor_conditions(
    const std::vector<const translate::Finding*>& findings, std::int64_t generation,
    const std::vector<objects::StatusCondition>& old, UnixSeconds now);

// Bodies for server-side apply to .../status.
[[nodiscard]] std::string replica_body(const objects::Meta& meta,
                                       const objects::ReplicaStatus& replica);
// Without an entry: what this field manager wrote goes.
[[nodiscard]] std::string no_replica_body(const objects::Meta& meta);
[[nodiscard]] std::string policy_body(const PolicyView& view,
                                      const std::vector<objects::StatusCondition>& conditions,
                                      const std::vector<objects::ReplicaStatus>& replicas);

// A list of them, as JSON.
void append_conditions(std::string& out, const std::vector<objects::StatusCondition>& conditions);

// Whether a status says already what a policy_body() would make it say. Times are not compared.
[[nodiscard]] bool is_told(const std::vector<objects::StatusCondition>& told,
                           const std::vector<objects::StatusCondition>& wanted);
[[nodiscard]] bool is_told(const objects::PolicyStatus& told, const objects::PolicyStatus& wanted);

}  // namespace handfast::status
