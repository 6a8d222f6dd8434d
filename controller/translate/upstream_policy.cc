#include "controller/translate/upstream_policy.h"

#include <string_view>
#include <utility>
#include <vector>

#include "controller/translate/cipher_names.h"
#include "controller/translate/findings.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/policy_material.h"
#include "controller/translate/services.h"
#include "controller/translate/tls_values.h"

namespace handfast::translate {
namespace {

using config::UpstreamTls;
using objects::PolicyTlsVersion;

constexpr Condition kInvalid{"Accepted", "Invalid"};
constexpr Condition kNotPermitted{"Accepted", "InsecureNotPermitted"};

constexpr FloorWords kOwnFloorWords{
    .field = "spec",
    .verify = "Remove insecureSkipVerify.",
    .identity = "Set mode to ClientAndServer and name a Secret in clientCertificateRef.",
    .crl = "Name a CRL in validation.revocation.crlRefs.",
    .versions = "Set protocol.minVersion to \"1.3\"."};
constexpr std::string_view kUseOurs = "Use an UpstreamTLSPolicy, which can say that.";
constexpr FloorWords kGatewayFloorWords{.field = "spec",
                                        .verify = kUseOurs,
                                        .identity = kUseOurs,
                                        .crl = kUseOurs,
                                        .versions = kUseOurs};

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ":").append(word);
  return text;
}

std::vector<config::TlsVersion> versions_of(const objects::PolicyProtocol& protocol) {
  std::vector<config::TlsVersion> versions;
  if (protocol.least != PolicyTlsVersion::Tls13) versions.push_back(config::TlsVersion::Tls12);
  if (protocol.most != PolicyTlsVersion::Tls12) versions.push_back(config::TlsVersion::Tls13);
  return versions;
}

void apply_protocol(const objects::PolicyProtocol& protocol, PolicyPlan& plan,
                    ObjectReport& report) {
  UpstreamTls& rules = plan.rules;
  rules.versions = versions_of(protocol);
  rules.cipher_suites = join(protocol.cipher_suites);
  rules.groups = join(protocol.groups);
  const auto refuse = [&](std::string_view field, std::string detail) {
    keep_first(rules.refused, report.as(kInvalid).refuse(Reason::InvalidValue,
                                                         "spec.protocol." + std::string{field},
                                                         std::move(detail), "Correct the list."));
  };
  if (!protocol.ciphers.empty()) {
    auto ciphers = parse_ciphers(join(protocol.ciphers));
    if (ciphers) {
      rules.ciphers = *std::move(ciphers);
    } else {
      refuse("ciphers", std::move(ciphers.error().detail));
    }
  }
  if (!rules.cipher_suites.empty()) {
    if (const auto unknown = find_unknown_suite(rules.cipher_suites)) {
      refuse("cipherSuites", quoted(*unknown) + " is no cipher suite of TLS 1.3 that is known.");
    }
  }
  if (!rules.groups.empty()) {
    if (auto fault = find_group_fault(rules.groups)) refuse("groups", *std::move(fault));
  }
  if (!protocol.alpn_given) return;
  plan.http2 = !protocol.http2  ? config::Http2::Off
               : protocol.http1 ? config::Http2::Offer
                                : config::Http2::Require;
}

void apply_rotation(const objects::PolicyRotation& rotation, UpstreamTls& rules) {
  if (rotation.on_identity_change == objects::OnIdentityChange::Close) rules.drain_ms = 0;
  if (rotation.on_identity_change == objects::OnIdentityChange::Drain) {
    rules.drain_ms = rotation.drain_ms;
  }
  rules.max_age_ms = rotation.max_age_ms;
}

void apply_names(const objects::PolicyValidation& validation, UpstreamTls& rules) {
  rules.sni = validation.hostname;
  rules.verify_depth = validation.verify_depth;
  rules.pin_only = validation.pin_only;
  for (const objects::PolicyPin& pin : validation.pins) {
    rules.pins.push_back({.type = pin.type == objects::PolicyPinType::Spki
                                      ? config::PinType::Spki
                                      : config::PinType::Certificate,
                          .sha256 = pin.sha256});
  }
  for (const objects::SubjectAltName& name : validation.sans) rules.names.push_back(name.value);
  // As BackendTLSPolicy: with names given, the host name is for SNI alone.
  if (rules.names.empty() && !rules.pin_only) rules.names = {validation.hostname};
  switch (validation.revocation.ocsp) {
    case objects::PolicyOcsp::Off:
      break;
    case objects::PolicyOcsp::IfPresent:
      rules.ocsp = config::Ocsp::IfPresent;
      break;
    case objects::PolicyOcsp::Require:
      rules.ocsp = config::Ocsp::Require;
      break;
  }
}

void apply_verify_off(const Options& options, const objects::Meta& meta, UpstreamTls& rules,
                      ObjectReport& report) {
  const std::string field = "spec.validation.insecureSkipVerify";
  if (may_be_insecure(options, meta)) {
    rules.verify = false;
    report.as({"Degraded", "InsecureSkipVerify"})
        .warn(Reason::Weak, field, "The Service's certificate isn't verified.",
              "Remove it, and name a CA in validation.caCertificateRefs.");
    return;
  }
  keep_first(rules.refused, report.as(kNotPermitted)
                                .refuse(Reason::NotPermitted, field,
                                        "Verification may be turned off only where the operator "
                                        "allows it.",
                                        insecure_remedy(meta)));
}

// A bad value is a bad value; the one word of its own is that there is no CA.
config::Refusal refuse_fault(const objects::PolicyFault& fault, ObjectReport& report) {
  const bool no_ca = fault.error.reason == Reason::CaMissing;
  const Condition condition = no_ca ? Condition{"Accepted", "NoValidCACertificate"} : kInvalid;
  return report.as(condition).refuse(
      no_ca ? Reason::CaMissing : Reason::InvalidValue, fault.field,
      clip(fault.error.detail, kMaxDetailBytes) + "; its Services answer 503.",
      "Correct it: docs/upstream-tls-policy.md has each field.");
}

void tell_options(const objects::BackendTlsPolicy& policy, UpstreamTls& rules,
                  ObjectReport& report) {
  for (const std::string& name : policy.options) {
    const std::string field = "spec.options[" + clip(name) + ']';
    if (name.starts_with("handfast.dev/")) {
      keep_first(rules.refused,
                 report.as(kInvalid).refuse(Reason::InvalidValue, field, "There is no such option.",
                                            std::string{kUseOurs}));
    } else {
      report.warn(Reason::Unsupported, field, "It has no effect here.", "Remove it.");
    }
  }
}

}  // namespace

std::string policy_shard_name(const PolicyRef& policy, const objects::ServiceBackend& backend) {
  return policy.meta().ns + '/' + policy.meta().name +
         (policy.upstream != nullptr ? "@utls/" : "@btls/") + backend.service + ':' +
         port_text(backend.port);
}

PolicyUnit& UpstreamPolicies::unit_of(const PolicyRef& policy) {
  const objects::Meta& meta = policy.meta();
  return policies_.at({std::string{policy.kind()}, meta.ns, meta.name});
}

void UpstreamPolicies::put(const PolicyRef& policy) {
  const objects::Meta& meta = policy.meta();
  const objects::ObjectKey key{std::string{policy.kind()}, meta.ns, meta.name};
  PolicyUnit& unit = policies_[key];
  unit.key = key;
  unit.policy = policy;
  tracer_.mark(unit);
}

void UpstreamPolicies::remove(const objects::ObjectKey& policy) {
  const auto found = policies_.find(policy);
  if (found == policies_.end()) return;
  // Its ports are dropped with those who led there.
  found->second.policy = {};
  tracer_.mark(found->second);
}

void UpstreamPolicies::mark_everything() {
  for (auto& [key, unit] : policies_) tracer_.mark(unit);
}

void UpstreamPolicies::refresh() {
  for (Unit* unit : tracer_.take_dirty(UnitKind::Policy)) refresh(static_cast<PolicyUnit&>(*unit));
}

void UpstreamPolicies::refresh(PolicyUnit& unit) {
  if (!unit.is_dirty) return;
  Tracer::Scope scope{tracer_, unit};
  unit.plan = {};
  if (unit.policy == PolicyRef{}) return;
  const objects::Meta& meta = unit.policy.meta();
  tracer_.on_asked({std::string{unit.policy.kind()}, meta.ns, meta.name});
  unit.plan = judge(unit.policy, scope.findings());
  unit.published = scope.take_uses_but(ItemUnit::Found);
}

const PolicyPlan& UpstreamPolicies::plan(const PolicyRef& policy) {
  PolicyUnit& unit = unit_of(policy);
  refresh(unit);
  tracer_.on_relied(unit.trace);
  for (const Use& use : unit.published) tracer_.on_used(*use.unit, use.how);
  return unit.plan;
}

std::string UpstreamPolicies::use_port(const PolicyRef& policy,
                                       const objects::ServiceBackend& backend) {
  std::string name = policy_shard_name(policy, backend);
  const auto found = ports_.try_emplace(name).first;
  PolicyPortUnit& port = found->second;
  port.name = &found->first;
  port.fresh = unit_of(policy).plan.rules;
  port.fresh->name = name;
  operator_crls_.add_to(*port.fresh);
  // Who uses it is worked on because the policy changed: so is the shard.
  tracer_.look_at(port);
  tracer_.on_used(port, 0);
  return name;
}

void UpstreamPolicies::drop(const PolicyUnit& unit) { policies_.erase(unit.key); }

PolicyPlan UpstreamPolicies::judge(const PolicyRef& policy, Report& findings) {
  PolicyPlan plan;
  UpstreamTls& rules = plan.rules;
  const objects::Meta& meta = policy.meta();
  ObjectReport report{findings, policy.kind(), meta};
  const auto* own = policy.upstream;
  const auto& fault = own != nullptr ? own->fault : policy.backend->fault;
  rules.versions = versions_of({});
  if (fault) {
    rules.refused = refuse_fault(*fault, report);
    return plan;
  }
  const Floor* floor = find_floor(options_, meta.ns);
  if (own != nullptr && own->mode == objects::PolicyMode::None) {
    plan.tls = false;
    if (demands_tls(options_, meta.ns)) {
      rules.refused = report.as(kNotPermitted)
                          .refuse(Reason::BelowMinimum, "spec.mode",
                                  "The operator's minimum asks for TLS to the Service.",
                                  "Set mode to ServerOnly or ClientAndServer.");
    }
    return plan;
  }

  const auto& validation = own != nullptr ? own->validation : policy.backend->validation;
  apply_names(validation, rules);
  PolicyMaterial material{{.state = state_,
                           .materials = materials_,
                           .tracer = tracer_,
                           .policy = meta,
                           .group = own != nullptr ? "handfast.dev" : "gateway.networking.k8s.io",
                           .kind = policy.kind()},
                          rules,
                          report};
  if (own != nullptr) {
    apply_protocol(own->protocol, plan, report);
    apply_rotation(own->rotation, rules);
    if (own->rotation.on_trust_reduced == objects::OnTrustReduced::Drain) {
      apply_trust_drain(options_, meta, own->rotation.drain_ms, rules, report);
    }
    rules.resumption = own->resumption;
    if (own->client_certificate) {
      material.add_identity(*own);
      rules.require_certificate_request =
          own->require_certificate_request.value_or(true) && rules.identity.has_value();
    }
  } else {
    tell_options(*policy.backend, rules, report);
  }
  if (validation.insecure_skip_verify) {
    apply_verify_off(options_, meta, rules, report);
  } else {
    material.add_trust(validation);
    material.add_revocation(validation.revocation);
  }
  if (floor != nullptr && !rules.refused) {
    ObjectReport below = report.as(kNotPermitted);
    apply_floor(*floor, own != nullptr && (own->protocol.least || own->protocol.most),
                own != nullptr ? kOwnFloorWords : kGatewayFloorWords, rules, below);
  }
  apply_audit(options_, meta, tracer_, "spec", rules, report);
  return plan;
}

}  // namespace handfast::translate
