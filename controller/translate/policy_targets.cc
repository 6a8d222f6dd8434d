#include "controller/translate/policy_targets.h"

#include <algorithm>

namespace handfast::translate {
namespace {

bool has_port(const objects::Service& service, std::string_view name) {
  return std::ranges::find(service.ports, name, &objects::ServicePort::name) != service.ports.end();
}

bool is_missing(const objects::Service* service, const std::string& section) {
  return service != nullptr && !section.empty() && !has_port(*service, section);
}

std::string field_of(std::size_t index, std::string_view field) {
  return "spec.targetRefs[" + std::to_string(index) + "]." + std::string{field};
}

ObjectReport report_of(const PolicyRef& policy, Report& report, std::string_view reason) {
  return ObjectReport{report, policy.kind(), policy.meta()}.as({"Accepted", reason});
}

}  // namespace

const objects::Meta& PolicyRef::meta() const {
  return upstream != nullptr ? upstream->meta : backend->meta;
}

std::string_view PolicyRef::kind() const {
  return upstream != nullptr ? "UpstreamTLSPolicy" : "BackendTLSPolicy";
}

std::string PolicyRef::text() const {
  return std::string{kind()} + ' ' + meta().ns + '/' + meta().name;
}

PolicyTargets::PolicyTargets(const state::Reader& state) : state_(state) {
  for (const auto* policy : state.all().upstream_tls_policies()) {
    add({.upstream = policy}, policy->targets);
  }
  for (const auto* policy : state.all().backend_tls_policies()) {
    add({.backend = policy}, policy->targets);
  }
}

void PolicyTargets::add(const PolicyRef& policy,
                        const std::vector<objects::PolicyTarget>& targets) {
  policies_.push_back(policy);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    claims_[{policy.meta().ns, targets[i].service}].push_back({policy, i, targets[i].section});
  }
}

std::optional<PolicyTargets::Choice> PolicyTargets::find(std::string_view ns,
                                                         const std::string& name,
                                                         std::string_view port_name,
                                                         const objects::Service* service) const {
  const auto found = claims_.find({std::string{ns}, name});
  if (found == claims_.end()) return std::nullopt;
  const Claims& claims = found->second;
  for (const bool is_upstream : {true, false}) {
    const auto first = [&](auto matches) {
      return std::ranges::find_if(claims, [&](const Claim& claim) {
        return (claim.policy.upstream != nullptr) == is_upstream && matches(claim);
      });
    };
    auto at = first(
        [&](const Claim& claim) { return !claim.section.empty() && claim.section == port_name; });
    if (at != claims.end()) return Choice{at->policy, {}};
    at = first([&](const Claim& claim) { return is_missing(service, claim.section); });
    if (at != claims.end()) return Choice{at->policy, at->section};
    at = first([](const Claim& claim) { return claim.section.empty(); });
    if (at != claims.end()) return Choice{at->policy, {}};
  }
  return std::nullopt;
}

void PolicyTargets::tell(Report& report) const {
  for (const auto& [key, claims] : claims_) {
    const objects::Service* service = state_.find_service(key.first, key.second);
    if (service != nullptr) {
      tell_service(service, claims, report);
      continue;
    }
    for (const Claim& claim : claims) {
      report_of(claim.policy, report, "TargetNotFound")
          .refuse(Reason::ServiceMissing, field_of(claim.index, "name"),
                  "There is no Service " + key.first + '/' + key.second + '.',
                  "Create it, or correct the name.");
    }
  }
}

void PolicyTargets::tell_service(const objects::Service* service, const Claims& claims,
                                 Report& report) const {
  for (auto claim = claims.begin(); claim != claims.end(); ++claim) {
    const bool is_upstream = claim->policy.upstream != nullptr;
    if (is_missing(service, claim->section)) {
      report_of(claim->policy, report, "TargetNotFound")
          .refuse(Reason::PortMissing, field_of(claim->index, "sectionName"),
                  "Service " + service->meta.ns + '/' + service->meta.name + " has no port named " +
                      quoted(claim->section) + "; until that is corrected its ports answer 503.",
                  "Correct the name.");
    }
    const auto winner = std::find_if(claims.begin(), claim, [&](const Claim& other) {
      const bool same_kind = (other.policy.upstream != nullptr) == is_upstream;
      // Ours stand before the others, and one for the whole Service shadows all of those.
      return same_kind ? other.section == claim->section
                       : other.section.empty() || other.section == claim->section;
    });
    if (winner == claim) continue;
    const bool overridden = !is_upstream && winner->policy.upstream != nullptr;
    report_of(claim->policy, report, overridden ? "Overridden" : "Conflicted")
        .warn(Reason::Conflict, field_of(claim->index, "name"),
              winner->policy.text() + " decides on Service " + service->meta.ns + '/' +
                  service->meta.name +
                  (claim->section.empty() ? "" : ", port " + quoted(claim->section)) +
                  "; this one has no effect there.",
              "Remove one of the two.");
  }
}

}  // namespace handfast::translate
