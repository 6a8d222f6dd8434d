#pragma once
// What a policy object says about TLS to the Services that it targets: an UpstreamTLSPolicy, or a
// BackendTLSPolicy, which says a part of the same. docs/upstream-tls-policy.md has each field.
//
// A policy is a unit of work, judged once, whoever uses it, and if nobody does. Every doubt
// refuses: a policy that is wrong, or names what isn't there, answers 503 for its Services.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/secrets.h"
#include "controller/translate/trace.h"
#include "proxy/base/rare.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct PolicyPlan {
  bool tls = true;  // false: mode None, and of `rules` only `refused` counts
  // All but `name`. `refused` is set if the policy can't be satisfied.
  config::UpstreamTls rules;
  std::optional<config::Http2> http2;  // of protocol.alpn
};

struct PolicyUnit : Unit {
  PolicyUnit() : Unit(UnitKind::Policy) {}
  objects::ObjectKey key;
  PolicyRef policy;  // of neither kind: it is gone
  PolicyPlan plan;
  std::vector<Use> published;  // by whoever uses the policy
};

// The shard of a policy for one port of a Service.
struct PolicyPortUnit : Unit {
  PolicyPortUnit() : Unit(UnitKind::PolicyPort) {}
  const std::string* name = nullptr;  // by which it is kept
  Rare<config::UpstreamTls> fresh;    // until the change is collected
};

class UpstreamPolicies {
 public:
  // Borrows all.
  UpstreamPolicies(const state::Reader& state, const Options& options, Materials& materials,
                   OperatorCrls& operator_crls, Tracer& tracer)
      : state_(state),
        options_(options),
        materials_(materials),
        operator_crls_(operator_crls),
        tracer_(tracer) {}

  // The policy was put, or is gone: who uses it was marked by its targets.
  void put(const PolicyRef& policy);
  void remove(const objects::ObjectKey& policy);
  void mark_everything();
  // Judges what is marked.
  void refresh();

  // For a route: what the plan names becomes part of the generation. Good until the policy changes.
  [[nodiscard]] const PolicyPlan& plan(const PolicyRef& policy);
  // The name of the shard with the policy's rules for one port: it becomes part of the generation.
  [[nodiscard]] std::string use_port(const PolicyRef& policy,
                                     const objects::ServiceBackend& backend);

  // After the unit was forgotten.
  void drop(const PolicyUnit& unit);
  void drop(const PolicyPortUnit& unit) { ports_.erase(ports_.find(*unit.name)); }

 private:
  PolicyUnit& unit_of(const PolicyRef& policy);
  void refresh(PolicyUnit& unit);
  [[nodiscard]] PolicyPlan judge(const PolicyRef& policy, Report& findings);

  const state::Reader& state_;
  const Options& options_;
  Materials& materials_;
  OperatorCrls& operator_crls_;
  Tracer& tracer_;
  std::map<objects::ObjectKey, PolicyUnit> policies_;
  std::map<std::string, PolicyPortUnit> ports_;
};

// "shop/orders@utls/api:443": the name of the policy's shard for one port.
[[nodiscard]] std::string policy_shard_name(const PolicyRef& policy,
                                            const objects::ServiceBackend& backend);

}  // namespace handfast::translate
