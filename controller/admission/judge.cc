#include "controller/admission/judge.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <variant>

#include "controller/translate/annotations.h"
#include "controller/translate/auth_values.h"
#include "controller/translate/findings.h"
#include "controller/translate/translate.h"

namespace handfast::admission {
namespace {

using objects::ObjectKey;
using translate::Finding;
using translate::Severity;

// What refuses: the object says it itself, whatever else there is.
bool is_own_fault(Reason reason) {
  switch (reason) {
    case Reason::InvalidValue:
    case Reason::UnsupportedAnnotation:
    case Reason::NotPermitted:
    case Reason::BelowMinimum:
    case Reason::BadObject:
    case Reason::Unsupported:
    case Reason::CaMissing:  // with stand-ins: it names none
    case Reason::NoRoute:    // a backend that is no Service
      return true;
    default:
      return false;
  }
}

// What is told about an object that may be stored. Others speak of what a stand-in holds.
bool is_own_doubt(const Finding& finding) {
  switch (finding.reason) {
    case Reason::Conflict:
      // The stand-in has a ca.crt, the Secret may have none.
      return !finding.field.ends_with("upstream-ca]");
    case Reason::InvalidValue:
    case Reason::UnsupportedAnnotation:
    case Reason::BadObject:
    case Reason::Unsupported:
    case Reason::Weak:
      return true;
    default:
      return false;
  }
}

bool is_missing_material(Reason reason) {
  return reason == Reason::SecretMissing || reason == Reason::CaMissing ||
         reason == Reason::CrlMissing || reason == Reason::FrontCertificate ||
         reason == Reason::InvalidValue;
}

bool wants_grant(const Finding& finding) {
  return finding.condition == translate::Condition{"ResolvedRefs", "RefNotPermitted"};
}

// What a sentence may name: by "Secret shop/orders".
using Names = std::map<std::string, ObjectKey, std::less<>>;

Names names_of(const std::set<ObjectKey>& references) {
  Names names;
  for (const ObjectKey& reference : references) {
    names.emplace(objects::to_string(reference), reference);
  }
  return names;
}

// Calls `look` with each of `names` that stands in the sentence, whole, until it answers true. The
// sentence is read once, however many there are: an Ingress may name tens of thousands.
template <class Look>
bool any_named(std::string_view sentence, const Names& names, const Look& look) {
  for (const std::string_view kind : {"Secret ", "ConfigMap ", "ClusterTrustBundle "}) {
    for (std::size_t at = sentence.find(kind); at != std::string_view::npos;
         at = sentence.find(kind, at + kind.size())) {
      const std::size_t end = sentence.find_first_of(" ;,", at + kind.size());
      std::string_view name = sentence.substr(at, end == std::string_view::npos ? end : end - at);
      if (name.ends_with('.')) name.remove_suffix(1);
      const auto found = names.find(name);
      if (found != names.end() && look(found->second)) return true;
    }
  }
  return false;
}

std::string saying(const Finding& finding) { return finding.field + '\0' + finding.message; }

Index::Neighbours neighbours_of(const objects::Ingress& ingress,
                                const translate::Options& options) {
  Index::Neighbours out;
  const auto add = [&](const objects::IngressBackend& backend) {
    if (backend.service) out.services.emplace(ingress.meta.ns, backend.service->service);
  };
  if (ingress.default_backend) add(*ingress.default_backend);
  for (const objects::IngressRule& rule : ingress.rules) {
    for (const objects::IngressPath& path : rule.paths) add(path.backend);
  }
  const translate::Annotations annotations{ingress};
  const auto* auth = annotations.find("auth-url");
  const auto url = auth == nullptr ? Result<translate::AuthUrl>{fail(Reason::InvalidValue, "")}
                                   : translate::parse_auth_url(auth->value);
  if (url) {
    auto host = translate::split_cluster_host(url->host, options.cluster_domain);
    if (!host.service.empty()) {
      out.granting.insert(host.ns);
      out.services.emplace(std::move(host.ns), std::move(host.service));
    }
  }
  return out;
}

Index::Neighbours neighbours_of(const objects::UpstreamTlsPolicy& policy) {
  Index::Neighbours out;
  for (const auto& target : policy.targets) out.services.emplace(policy.meta.ns, target.service);
  const auto add = [&](const objects::MaterialRef& ref) {
    if (!ref.ns.empty() && ref.ns != policy.meta.ns) out.granting.insert(ref.ns);
  };
  if (policy.client_certificate) add(*policy.client_certificate);
  for (const auto& ref : policy.validation.cas) add(ref);
  for (const auto& ref : policy.validation.revocation.crls) add(ref);
  return out;
}

// Grants for everything that the policy asks of other namespaces.
std::vector<objects::Object> grants_for(const objects::UpstreamTlsPolicy& policy,
                                        const std::set<std::string>& namespaces) {
  std::vector<objects::Object> out;
  for (const std::string& ns : namespaces) {
    objects::ReferenceGrant grant;
    grant.meta.ns = ns;
    grant.meta.name = "stand-in";
    grant.from = {{"handfast.dev", "UpstreamTLSPolicy", policy.meta.ns}};
    grant.to = {{"", "Secret", ""}, {"", "ConfigMap", ""}};
    out.emplace_back(std::move(grant));
  }
  return out;
}

// The operator's own objects are nothing that the author of this one answers for.
translate::Options for_one(translate::Options options) {
  options.default_certificate.reset();
  options.session_tickets.reset();
  options.default_backend.reset();
  options.tcp_services.reset();
  options.crl_directory.clear();
  if (options.default_upstream_ca) {
    options.default_upstream_ca->kind = translate::DefaultCa::Kind::System;
  }
  return options;
}

Finding conflict(const objects::Ingress& ingress, const Claim& claim, std::string message) {
  Finding finding;
  finding.severity = Severity::Error;
  finding.reason = Reason::Conflict;
  finding.object = {"Ingress", ingress.meta.ns, ingress.meta.name};
  finding.field = claim.field;
  finding.message = std::move(message);
  finding.remedy = "Remove one of the two.";
  return finding;
}

std::string place_of(const Claim& claim) {
  const std::string host = " of host " + translate::quoted(claim.host);
  if (claim.kind == ClaimKind::Default) return "The default backend" + host;
  return translate::quoted(claim.path) + host;
}

}  // namespace

// One object, and what it is judged with.
struct Judge::Case {
  const objects::Object& object;
  Index::Neighbours neighbours;
  UnixSeconds now = 0;
};

Judge::Judge(const translate::Options& options, const Index& index, StandIns stand_ins)
    : options_(for_one(options)), index_(index), stand_ins_(std::move(stand_ins)) {}

Verdict Judge::judge(const objects::Ingress& ingress, const objects::Ingress* before,
                     UnixSeconds now) const {
  if (!index_.is_ours(ingress)) return {};
  const objects::Object object{ingress};
  Verdict verdict = judge_alone({object, neighbours_of(ingress, options_), now});
  judge_claims(ingress, before, verdict);
  return verdict;
}

Verdict Judge::judge(const objects::UpstreamTlsPolicy& policy, UnixSeconds now) const {
  const objects::Object object{policy};
  return judge_alone({object, neighbours_of(policy), now});
}

Verdict Judge::judge_alone(const Case& one) const {
  Verdict verdict;
  state::ClusterState state;
  index_.add_to(state, one.neighbours);
  state.apply(one.object);
  translate::Output bare = translate_one(state, one);
  Said said;
  tell_missing(one, bare, verdict, said);

  translate::Report report = std::move(bare.report);
  if (assume(one, bare.references, state)) report = translate_one(state, one).report;
  for (Finding& finding : report) {
    if (finding.severity == Severity::Error && is_own_fault(finding.reason)) {
      verdict.refusals.push_back(std::move(finding));
    } else if (finding.severity == Severity::Warning && is_own_doubt(finding) &&
               said.insert(saying(finding)).second) {
      verdict.warnings.push_back(std::move(finding));
    }
  }
  if (!verdict.refusals.empty()) spare(one, state, verdict);
  return verdict;
}

translate::Output Judge::translate_one(const state::ClusterState& state, const Case& one) const {
  const ObjectKey key = objects::key(one.object);
  translate::Output output = translate::translate(state, {}, options_, one.now);
  std::erase_if(output.report, [&](const Finding& finding) { return finding.object != key; });
  return output;
}

// What is known not to be there, from a translation without any material.
void Judge::tell_missing(const Case& one, const translate::Output& bare, Verdict& verdict,
                         Said& said) const {
  std::set<ObjectKey> references = bare.references;
  if (const auto* policy = std::get_if<objects::UpstreamTlsPolicy>(&one.object)) {
    for (const auto& ref : policy->validation.cas) {
      if (ref.kind == "ClusterTrustBundle") references.insert({ref.kind, {}, ref.name});
    }
  }
  const Names names = names_of(references);
  const auto is_known_missing = [&](const Finding& finding) {
    return any_named(finding.message, names,
                     [this](const ObjectKey& key) { return index_.is_missing(key); });
  };
  for (const Finding& finding : bare.report) {
    const bool is_service =
        finding.reason == Reason::ServiceMissing || finding.reason == Reason::PortMissing;
    // The sentence is that of a translation without any material, so it may only be believed of
    // what is known not to be there.
    const bool is_told = is_service || wants_grant(finding) ||
                         (is_missing_material(finding.reason) && is_known_missing(finding));
    if (is_told && said.insert(saying(finding)).second) verdict.warnings.push_back(finding);
  }
}

// Puts into `state` what stands in; false: there is nothing to assume.
bool Judge::assume(const Case& one, const std::set<ObjectKey>& references,
                   state::ClusterState& state) const {
  std::vector<objects::Object> assumed;
  if (const auto* policy = std::get_if<objects::UpstreamTlsPolicy>(&one.object)) {
    assumed = stand_ins_.for_policy(*policy);
    std::ranges::move(grants_for(*policy, one.neighbours.granting), std::back_inserter(assumed));
  } else {
    assumed = stand_ins_.for_ingress(references);
  }
  // The operator's settings are as they are.
  const auto& settings = options_.config_map;
  if (settings) {
    const ObjectKey key{"ConfigMap", settings->ns, settings->name};
    std::erase_if(assumed, [&](const auto& object) { return objects::key(object) == key; });
  }
  for (objects::Object& object : assumed) state.apply(std::move(object));
  return !assumed.empty();
}

// What is no error without the policies of others isn't this object's fault.
void Judge::spare(const Case& one, state::ClusterState& state, Verdict& verdict) const {
  std::vector<ObjectKey> others;
  for (const auto* policy : state.upstream_tls_policies()) {
    others.push_back({"UpstreamTLSPolicy", policy->meta.ns, policy->meta.name});
  }
  for (const auto* policy : state.backend_tls_policies()) {
    others.push_back({"BackendTLSPolicy", policy->meta.ns, policy->meta.name});
  }
  std::erase(others, objects::key(one.object));
  if (others.empty()) return;
  for (const ObjectKey& other : others) state.remove(other);
  Said alone;
  for (const Finding& finding : translate_one(state, one).report) alone.insert(saying(finding));
  const auto theirs = std::ranges::stable_partition(
      verdict.refusals, [&](const Finding& finding) { return alone.contains(saying(finding)); });
  std::ranges::move(theirs, std::back_inserter(verdict.warnings));
  verdict.refusals.erase(theirs.begin(), theirs.end());
}

void Judge::judge_claims(const objects::Ingress& ingress, const objects::Ingress* before,
                         Verdict& verdict) const {
  const ObjectKey key{"Ingress", ingress.meta.ns, ingress.meta.name};
  std::map<std::string, bool> had;
  if (before != nullptr && index_.is_ours(*before)) {
    for (const Claim& claim : claims_of(*before, options_)) had.emplace(claim.key(), claim.passes);
  }
  std::map<std::string, std::string> own;  // claim -> Service
  std::set<std::string> fields;
  translate::Report warnings;
  for (const Claim& claim : claims_of(ingress, options_)) {
    const std::string text = claim.key();
    const auto known = had.find(text);
    const bool is_new = known == had.end() || known->second != claim.passes;
    const auto tell = [&](std::string message) {
      fields.insert(claim.field);
      (is_new ? verdict.refusals : warnings)
          .push_back(conflict(ingress, claim, std::move(message)));
    };
    if (claim.kind != ClaimKind::Host) {
      const auto [first, added] = own.emplace(text, claim.service);
      if (!added) {
        // Twice the same harms nobody.
        if (first->second != claim.service) {
          tell(place_of(claim) + " stands in this Ingress twice, with different Services.");
        }
        continue;
      }
    }
    auto holder = index_.find_holder(claim, key);
    if (claim.kind == ClaimKind::Host) {
      if (!holder || (!holder->passes && !claim.passes)) continue;
      tell("TLS of host " + translate::quoted(claim.host) +
           (holder->passes ? " passes through to" : " is ended for") + " Ingress " +
           holder->ingress + "; this one can't have the host too.");
      continue;
    }
    if (!holder && claim.alone) {
      Claim root;
      root.path = "/";
      holder = index_.find_holder(root, key);
    }
    if (holder) tell(place_of(claim) + " is already served by Ingress " + holder->ingress + '.');
  }
  // What translation said of these is said better here.
  std::erase_if(verdict.warnings, [&](const Finding& each) {
    return each.reason == Reason::Conflict && fields.contains(each.field);
  });
  std::ranges::move(warnings, std::back_inserter(verdict.warnings));
}

}  // namespace handfast::admission
