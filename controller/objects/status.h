#pragma once
// What stands in an object's status: written by controllers, ours among them, and read only to know
// whether it is still right. It never decides how anything is served, and a status that can't be
// read is none.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/objects/value.h"

namespace handfast::objects {

// metav1.Condition.
struct StatusCondition {
  std::string type;
  std::string status;  // "True", "False", "Unknown"
  std::string reason;
  std::string message;
  std::int64_t observed_generation = 0;
  std::string last_transition;  // RFC 3339, as it stands there
  friend bool operator==(const StatusCondition&, const StatusCondition&) = default;
};

// What one replica's proxy makes of a policy, written by that replica alone.
struct ReplicaStatus {
  std::string installation;  // the replicas that share a Lease: "namespace/name" of that
  std::string pod;
  std::int64_t observed_generation = 0;
  std::string hash;                         // of what it has loaded; empty: nothing
  std::string programmed;                   // a reason of the condition Programmed
  std::string message;                      // why, if that isn't "Programmed"
  std::uint32_t verified = 0, failing = 0;  // endpoints by their last handshake
  std::string last_failure;                 // "name_mismatch 10.0.0.7:8443"; empty: none
  friend bool operator==(const ReplicaStatus&, const ReplicaStatus&) = default;
};

struct PolicyStatus {
  std::int64_t observed_generation = 0;
  std::vector<StatusCondition> conditions;
  std::vector<ReplicaStatus> replicas;
  std::string rest;  // all else that the leader writes, as text to compare
  friend bool operator==(const PolicyStatus&, const PolicyStatus&) = default;
};

// An entry of status.ancestors[] of a Gateway API policy: what one controller says of it.
struct AncestorStatus {
  std::string controller;         // controllerName
  std::string group, kind, name;  // of its ancestorRef
  std::vector<StatusCondition> conditions;
  std::string text;  // the whole entry, JSON: the list is written as one, with those of others
  friend bool operator==(const AncestorStatus&, const AncestorStatus&) = default;
};

struct AncestorsStatus {
  std::vector<AncestorStatus> ancestors;
  std::string resource_version;  // of the object that has it
  friend bool operator==(const AncestorsStatus&, const AncestorsStatus&) = default;
};

// Of an Ingress or a Service: status.loadBalancer.ingress[]; one of the two is set.
struct LoadBalancerAddress {
  std::string ip;
  std::string hostname;
  friend auto operator<=>(const LoadBalancerAddress&, const LoadBalancerAddress&) = default;
};

// metadata.generation; 0: none.
[[nodiscard]] std::int64_t read_generation(const Value* metadata);
// `status`: the object's; null for none. What is malformed is left out.
[[nodiscard]] PolicyStatus read_policy_status(const Value* status);
[[nodiscard]] AncestorsStatus read_ancestors(const Value* metadata, const Value* status);
[[nodiscard]] std::vector<LoadBalancerAddress> read_load_balancer(const Value* status);

}  // namespace handfast::objects
