#pragma once
// What both kinds of policy have in common, read strictly: the limits and rules are those of
// manifests/crds/upstreamtlspolicies.yaml, and of Gateway API's BackendTLSPolicy. Internal to
// controller/objects.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "controller/objects/fields.h"
#include "controller/objects/policies.h"

namespace handfast::objects {

// Every Service that can be made out, whatever else is wrong: a target with a fault stands for all
// ports of its Service.
[[nodiscard]] std::vector<PolicyTarget> read_targets(const Place& list, Fields& fields);

// "1h30m", "500ms": GEP-2257. In milliseconds.
[[nodiscard]] std::optional<std::uint64_t> parse_gateway_duration(std::string_view text);

// A SHA-256 as 64 hex digits or in base64: as lower-case hex.
[[nodiscard]] std::optional<std::string> parse_sha256(std::string_view text);

// spec.validation of UpstreamTLSPolicy: precondition `place` is not absent.
[[nodiscard]] PolicyValidation read_validation(const Place& place, Fields& fields);
// Of BackendTLSPolicy: its part of the same.
[[nodiscard]] PolicyValidation read_gateway_validation(const Place& place, Fields& fields);

// Which fields a reference may have beside group, kind and name.
struct RefForm {
  bool has_namespace = false;
  bool has_key = false;
  bool is_secret = false;      // a Secret only
  bool may_be_bundle = false;  // a ClusterTrustBundle too
};
[[nodiscard]] MaterialRef read_ref(const Place& place, const RefForm& form, Fields& fields);

}  // namespace handfast::objects
