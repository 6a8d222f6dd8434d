#pragma once
// ssl-passthrough: TLS of a host that goes to a Service undecrypted. docs/tcp.md says what holds.
//
// What the client and the Service say to each other is theirs: what can't be held to it (a policy,
// the operator's floor) is told or refuses here.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/clusters.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/policy_targets.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// One Ingress and what its rules are led by. Borrows all.
struct PassthroughContext {
  const objects::Ingress& ingress;
  const Options& options;
  const state::Reader& state;
  const PolicyTargets& targets;
  // The cluster of a backend in the Ingress' namespace.
  std::function<Clusters::Lead(const objects::ServiceBackend&)> service;
  ObjectReport& report;
};

// The first Ingress that names a host decides whether its TLS passes through.
struct HostHead {
  std::string first_ingress;  // "shop/orders"; empty: none
  bool passes = false;
  friend bool operator==(const HostHead&, const HostHead&) = default;
};

// Whether a rule of the Ingress is used for the host. False: another decided otherwise; told.
[[nodiscard]] bool may_place(const objects::Ingress& ingress, bool passes, std::string_view host,
                             const HostHead& head, const std::string& field, ObjectReport& report);

// Where TLS of the rule's host goes. `refused`: what stands in the way of all of the Ingress.
[[nodiscard]] config::StreamRoute make_passthrough(const PassthroughContext& context,
                                                   const objects::IngressRule& rule,
                                                   const std::string& field,
                                                   const std::optional<config::Refusal>& refused);

}  // namespace handfast::translate
