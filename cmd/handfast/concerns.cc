#include "cmd/handfast/concerns.h"

#include "cmd/handfast/policy_facts.h"

namespace handfast {

Concerns::Concerns(const config::Route& route, const config::UpstreamTls* policy) {
  objects_.insert("Ingress/" + route.ingress_namespace + '/' + route.ingress);
  objects_.insert("Service/" + route.service.substr(0, route.service.rfind(':')));
  if (policy == nullptr) return;
  const PolicyOwner owner = owner_of(policy->name);
  objects_.insert(owner.kind + '/' + owner.name);
  if (policy->identity) objects_.insert(policy->identity->source);
  for (const config::FileRef& file : policy->ca) objects_.insert(file.source);
  for (const config::FileRef& file : policy->crl) objects_.insert(file.source);
}

bool Concerns::include(const translate::Finding& finding) const {
  const objects::ObjectKey& key = finding.object;
  return objects_.contains(key.kind + '/' + key.ns + '/' + key.name);
}

std::string Concerns::change(const translate::Report& report, Reason reason) const {
  for (const translate::Finding& finding : report) {
    if (finding.severity != translate::Severity::Error || finding.reason != reason ||
        finding.remedy.empty() || !include(finding)) {
      continue;
    }
    std::string text = objects::to_string(finding.object) + ": ";
    if (!finding.field.empty()) text += finding.field + ": ";
    return text + finding.remedy;
  }
  return "";
}

}  // namespace handfast
