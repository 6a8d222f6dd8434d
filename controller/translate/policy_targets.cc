#include "controller/translate/policy_targets.h"

#include <algorithm>
#include <tuple>
#include <utility>

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

objects::ObjectKey topic_of(std::string_view ns, std::string_view service) {
  return {"policies of", std::string{ns}, std::string{service}};
}

// Ours before the others, the oldest first, then by name.
auto rank_of(const PolicyRef& policy, std::size_t index) {
  const objects::Meta& meta = policy.meta();
  return std::tuple<bool, std::string_view, std::string_view, std::string_view, std::size_t>(
      policy.upstream == nullptr, meta.creation_timestamp, meta.ns, meta.name, index);
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

const std::vector<objects::PolicyTarget>& PolicyRef::targets() const {
  return upstream != nullptr ? upstream->targets : backend->targets;
}

void PolicyTargets::put(const PolicyRef& policy) {
  const objects::Meta& meta = policy.meta();
  const objects::ObjectKey key{std::string{policy.kind()}, meta.ns, meta.name};
  remove(key);
  const std::vector<objects::PolicyTarget>& targets = policy.targets();
  std::vector<TargetKey>& mine = of_policy_[key];
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const auto& at = mine.emplace_back(meta.ns, targets[i].service);
    Target& target = targets_.try_emplace(at).first->second;
    target.ns = at.first;
    target.service = at.second;
    const auto place = std::ranges::find_if(target.claims, [&](const Claim& other) {
      return rank_of(policy, i) < rank_of(other.policy, other.index);
    });
    target.claims.insert(place, {policy, key, i, targets[i].section});
    tracer_.mark(target);
    tracer_.touch(topic_of(at.first, at.second));
  }
}

void PolicyTargets::remove(const objects::ObjectKey& policy) {
  const auto found = of_policy_.find(policy);
  if (found == of_policy_.end()) return;
  for (const TargetKey& at : found->second) {
    Target& target = targets_.at(at);
    // By name: the object may be gone, or another.
    std::erase_if(target.claims, [&](const Claim& claim) { return claim.of == policy; });
    tracer_.mark(target);
    tracer_.touch(topic_of(at.first, at.second));
  }
  of_policy_.erase(found);
}

std::optional<PolicyTargets::Choice> PolicyTargets::find(std::string_view ns,
                                                         const std::string& name,
                                                         std::string_view port_name,
                                                         const objects::Service* service) const {
  tracer_.on_asked(topic_of(ns, name));
  const auto found = targets_.find({std::string{ns}, name});
  if (found == targets_.end()) return std::nullopt;
  const Claims& claims = found->second.claims;
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

bool PolicyTargets::is_used(const Unit& unit) {
  return !static_cast<const Target&>(unit).claims.empty();
}

void PolicyTargets::drop(const Unit& unit) {
  const auto& target = static_cast<const Target&>(unit);
  targets_.erase({target.ns, target.service});
}

void PolicyTargets::mark_everything() {
  for (auto& [key, target] : targets_) tracer_.mark(target);
}

void PolicyTargets::tell() {
  for (Unit* unit : tracer_.take_dirty(UnitKind::Target)) {
    auto& target = static_cast<Target&>(*unit);
    {
      Tracer::Scope scope{tracer_, target};
      if (!target.claims.empty()) {
        tracer_.on_asked(topic_of(target.ns, target.service));
        const objects::Service* service = state_.find_service(target.ns, target.service);
        if (service != nullptr) {
          tell_service(service, target.claims, scope.findings());
        } else {
          tell_absent(target, scope.findings());
        }
      }
    }
  }
}

void PolicyTargets::tell_absent(const Target& target, Report& report) const {
  for (const Claim& claim : target.claims) {
    report_of(claim.policy, report, "TargetNotFound")
        .refuse(Reason::ServiceMissing, field_of(claim.index, "name"),
                "There is no Service " + target.ns + '/' + target.service + '.',
                "Create it, or correct the name.");
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
