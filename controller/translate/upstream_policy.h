#pragma once
// What a policy object says about TLS to the Services that it targets: an UpstreamTLSPolicy, or a
// BackendTLSPolicy, which says a part of the same. docs/upstream-tls-policy.md has each field.
//
// A policy is judged once, whoever uses it. Every doubt refuses: a policy that is wrong, or names
// what isn't there, answers 503 for its Services.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/secrets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct PolicyPlan {
  bool tls = true;  // false: mode None, and of `rules` only `refused` counts
  // All but `name`. `refused` is set if the policy can't be satisfied.
  config::UpstreamTls rules;
  std::optional<config::Http2> http2;  // of protocol.alpn
};

class UpstreamPolicies {
 public:
  // Borrows all.
  UpstreamPolicies(const state::Reader& state, const Options& options, Materials& materials,
                   std::int64_t now, Report& report)
      : state_(state), options_(options), materials_(materials), now_(now), report_(report) {}

  // For a route: what the plan names becomes part of the generation. Good as long as this.
  [[nodiscard]] const PolicyPlan& plan(const PolicyRef& policy);

  // Judges one that no route uses, for what there is to tell.
  void check(const PolicyRef& policy);

 private:
  [[nodiscard]] PolicyPlan judge(const PolicyRef& policy, bool in_use);

  const state::Reader& state_;
  const Options& options_;
  Materials& materials_;
  const std::int64_t now_;
  Report& report_;
  std::map<std::string, PolicyPlan> plans_;  // by PolicyRef::text()
};

// "shop/orders@utls/api:443": the name of the policy's shard for one port.
[[nodiscard]] std::string policy_shard_name(const PolicyRef& policy,
                                            const objects::ServiceBackend& backend);

}  // namespace handfast::translate
