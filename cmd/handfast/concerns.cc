#include "cmd/handfast/concerns.h"

#include "cmd/handfast/policy_facts.h"

namespace handfast {
namespace {

std::string object_text(const objects::ObjectKey& key) {
  return key.kind + '/' + key.ns + '/' + key.name;
}

}  // namespace

FindingIndex index_findings(const translate::Report& report) {
  FindingIndex index;
  for (const translate::Finding& finding : report) {
    index[object_text(finding.object)].push_back(&finding);
  }
  return index;
}

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

config::Route auth_hop(const config::Route& route) {
  config::Route hop = route;
  const config::ExternalAuth& auth = *route.auth;
  const bool tls = !auth.upstream_tls.empty();
  hop.service = auth.service;
  hop.protocol = tls ? config::BackendProtocol::Https : config::BackendProtocol::Http;
  hop.upstream_tls = auth.upstream_tls;
  hop.http2 = auth.http2;
  hop.auth.reset();
  return hop;
}

bool Concerns::include(const translate::Finding& finding) const {
  return objects_.contains(object_text(finding.object));
}

std::string Concerns::change(const FindingIndex& findings, Reason reason) const {
  for (const std::string& object : objects_) {
    const auto found = findings.find(object);
    if (found == findings.end()) continue;
    for (const translate::Finding* finding : found->second) {
      if (finding->severity != translate::Severity::Error || finding->reason != reason ||
          finding->remedy.empty()) {
        continue;
      }
      std::string text = objects::to_string(finding->object) + ": ";
      if (!finding->field.empty()) text += finding->field + ": ";
      return text + finding->remedy;
    }
  }
  return "";
}

}  // namespace handfast
