#include "controller/translate/operator_rules.h"

#include <algorithm>
#include <utility>

namespace handfast::translate {
namespace {

std::string full_name(const objects::Meta& meta) { return meta.ns + '/' + meta.name; }

bool matches_any(const std::vector<std::string>& patterns, const objects::Meta& meta) {
  const std::string name = full_name(meta);
  return std::any_of(patterns.begin(), patterns.end(), [&name](const std::string& pattern) {
    return matches_pattern(pattern, name);
  });
}

}  // namespace

const Floor* find_floor(const Options& options, std::string_view ns) {
  const auto found = std::find_if(
      options.minimum_upstream_tls.begin(), options.minimum_upstream_tls.end(),
      [ns](const Floor& floor) { return matches_pattern(floor.namespace_pattern, ns); });
  return found == options.minimum_upstream_tls.end() ? nullptr : &*found;
}

bool demands_tls(const Options& options, std::string_view ns) {
  const Floor* floor = find_floor(options, ns);
  return floor != nullptr && floor->minimum != MinimumTls::None;
}

bool may_be_insecure(const Options& options, const objects::Meta& meta) {
  return matches_any(options.allow_insecure_upstream, meta);
}

void apply_trust_drain(const Options& options, const objects::Meta& meta, std::uint32_t drain_ms,
                       config::UpstreamTls& rules, ObjectReport& report) {
  const std::string field = "spec.rotation.onTrustReduced";
  if (matches_any(options.allow_trust_drain, meta)) {
    rules.trust_drain_ms = drain_ms;
    report.as({"Degraded", "TrustDrain"})
        .warn(
            Reason::Weak, field,
            "Connections in use to a Service that isn't trusted any more live on for drainPeriod.",
            "Set it to Close.");
    return;
  }
  keep_first(rules.refused,
             report.as({"Accepted", "InsecureNotPermitted"})
                 .refuse(Reason::NotPermitted, field,
                         "Slower than at once is only where the operator allows it.",
                         "Set it to Close, or start the controller with --allow-trust-drain=" +
                             full_name(meta) + '.'));
}

std::string insecure_remedy(const objects::Meta& meta) {
  return "Remove it, or start the controller with --allow-insecure-upstream=" + full_name(meta) +
         '.';
}

void apply_floor(const Floor& floor, bool versions_given, const FloorWords& words,
                 config::UpstreamTls& rules, ObjectReport& report) {
  const auto below = [&](std::string message, std::string_view remedy) {
    keep_first(rules.refused, report.refuse(Reason::BelowMinimum, std::string{words.field},
                                            std::move(message), std::string{remedy}));
  };
  if (floor.minimum != MinimumTls::None && !rules.verify) {
    below("The operator's minimum asks for verification, and it is off.", words.verify);
  }
  if (floor.minimum == MinimumTls::Mutual && !rules.identity) {
    below("The operator's minimum asks for a client certificate, and there is none.",
          words.identity);
  }
  if (floor.crl_required && rules.crl.empty()) {
    below("The operator's minimum asks for a CRL, and there is none.", words.crl);
  } else if (floor.crl_required && rules.allow_without_crl) {
    below("The operator's minimum asks for a CRL, and onUnavailable goes without one.",
          "Set onUnavailable to Fail.");
  }
  if (rules.versions.front() >= floor.least_version) return;
  if (versions_given) {
    below("The operator's minimum allows TLSv1.3 only.", words.versions);
  } else {
    rules.versions = {config::TlsVersion::Tls13};
  }
}

void apply_audit(const Options& options, const objects::Meta& meta, Tracer& tracer,
                 std::string_view field, config::UpstreamTls& rules, ObjectReport& report) {
  if (!rules.verify) return;
  const std::string name = full_name(meta);
  const auto found = std::find_if(
      options.verification_audits.begin(), options.verification_audits.end(),
      [&name](const VerificationAudit& audit) { return matches_pattern(audit.pattern, name); });
  if (found == options.verification_audits.end()) return;
  // Set after its end too: what a generation says must not depend on when it was made.
  rules.audit_until = found->until;
  ObjectReport degraded = report.as({"Degraded", "VerificationAudit"});
  if (tracer.has_come(found->until)) {
    report.info(Reason::Weak, std::string{field},
                "The audit of its verification ended " + utc_time(found->until) + '.',
                "Take it out of --upstream-verification-audit.");
  } else {
    degraded.warn(Reason::Weak, std::string{field},
                  "Until " + utc_time(found->until) +
                      " what verification would refuse is forwarded and only counted.",
                  "Correct what handfast_upstream_would_refuse_total counts.");
  }
}

}  // namespace handfast::translate
