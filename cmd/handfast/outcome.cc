#include "cmd/handfast/outcome.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "cmd/handfast/policy_facts.h"
#include "proxy/base/reason.h"
#include "proxy/pki/asn1_text.h"

namespace handfast {
namespace {

std::string_view acceptance_text(const Outcome& outcome) {
  const bool ours = outcome.backend.policy->identity != nullptr;
  switch (outcome.seen.acceptance) {
    case upstream::Acceptance::Unasked:
      return ours ? "not asked for: the backend can't know who we are" : "not asked for";
    case upstream::Acceptance::Unknown:
      return outcome.seen.certificate_requested ? "asked for; the handshake failed all the same"
                                                : "";
    case upstream::Acceptance::Heard:
      return ours ? "asked for and accepted: the backend went on to send bytes"
                  : "asked for, and none presented; the backend went on to send bytes";
    case upstream::Acceptance::Finished:
      return ours ? "asked for and accepted by the backend's TLS"
                  : "asked for, and none presented; the backend's TLS went on without";
    case upstream::Acceptance::NotConfirmed:
      return ours ? "asked for and presented; not confirmed: the backend has said nothing since"
                  : "asked for, and none presented; not confirmed: the backend has said nothing "
                    "since";
    case upstream::Acceptance::Rejected:
      return ours ? "asked for, presented, and rejected" : "demanded, and we have none";
  }
  return "";
}

// By its name alone.
bool trusts(const tls::UpstreamPolicy& policy, const std::string& issuer) {
  for (const auto& bundle : policy.trust) {
    for (const auto& anchor : bundle->anchors()) {
      if (pki::name_text(X509_get_subject_name(anchor.get())) == issuer) return true;
    }
  }
  return false;
}

// Of what stands in the way, or would.
std::string remedy_for(const Outcome& outcome) {
  const Reason reason = outcome.ok() ? outcome.seen.but_for.reason : outcome.seen.verdict.reason;
  if (reason == Reason::Ok) return "";
  if (!outcome.backend.change.empty()) return outcome.backend.change;
  Trouble trouble;
  if (outcome.backend.rules != nullptr) {
    trouble.owner = owner_of(outcome.backend.rules->name);
    trouble.tls = outcome.backend.rules;
  } else if (outcome.backend.object.starts_with("Ingress ")) {
    trouble.owner = {"Ingress", outcome.backend.object.substr(8)};
  }
  if (!outcome.seen.chain.empty()) {
    trouble.peer = &outcome.seen.chain.front().info;
    trouble.issuer_needed = outcome.seen.chain.back().info.issuer;
    trouble.issuer_is_trusted = trusts(*outcome.backend.policy, trouble.issuer_needed);
  }
  trouble.accepted_issuers = outcome.seen.accepted_issuers;
  trouble.ours_is_for_clients =
      outcome.backend.policy == nullptr || identity_doubt(*outcome.backend.policy).empty();
  return remedy(reason, trouble);
}

std::string verdict_of(const Outcome& outcome) {
  return outcome.plain ? "plain_http" : std::string(to_string(outcome.seen.verdict.reason));
}

}  // namespace

Facts outcome_facts(const Outcome& outcome, UnixSeconds now) {
  const upstream::ProbeResult& seen = outcome.seen;
  Facts facts;
  facts.add("object", outcome.backend.object);
  facts.add_if_any("service", outcome.backend.service);
  facts.add_if_any("endpoint", outcome.address);
  facts.add("verdict", verdict_of(outcome));
  if (!outcome.ok()) {
    const bool refused = outcome.backend.refused.has_value();
    facts.add("status", std::int64_t{refused ? refusal_status(seen.verdict.reason)
                                             : http_status(seen.verdict.reason)});
    facts.add_if_any("detail", seen.verdict.detail);
  } else if (seen.but_for.reason != Reason::Ok) {
    facts.add("would_be", to_string(seen.but_for.reason)).add("detail", seen.but_for.detail);
  }
  facts.add_if_any("change", remedy_for(outcome));
  if (!seen.version.empty()) {
    Facts handshake;
    handshake.add("version", seen.version).add("cipher", seen.cipher);
    handshake.add("alpn", seen.alpn.empty() ? "none" : seen.alpn);
    if (outcome.backend.policy->asks_for_staple()) handshake.add("ocsp_response", seen.stapled);
    handshake.add("milliseconds", static_cast<std::int64_t>(seen.took.count()));
    facts.add("handshake", std::move(handshake));
  }
  if (!seen.chain.empty()) {
    Facts::List chain;
    for (const upstream::ShownCertificate& one : seen.chain) {
      Facts certificate = certificate_facts(one.info);
      certificate.add_if_any("revocation", one.revocation);
      chain.push_back(std::move(certificate));
    }
    facts.add("backend_shows", std::move(chain));
  }
  if (seen.valid_until != 0) facts.add("verdict_holds_until", pki::rfc3339(seen.valid_until));
  if (outcome.backend.policy != nullptr) {
    facts.add_if_any("our_certificate", acceptance_text(outcome));
  }
  if (!seen.accepted_issuers.empty()) facts.add("backend_accepts", seen.accepted_issuers);
  if (outcome.backend.rules != nullptr && outcome.backend.policy != nullptr) {
    facts.add("policy", policy_facts(*outcome.backend.rules, *outcome.backend.policy, now));
  }
  return facts;
}

std::string outcome_line(const Outcome& outcome) {
  std::string line = outcome.backend.object;
  if (!outcome.backend.service.empty()) line += ' ' + outcome.backend.service;
  if (!outcome.address.empty()) line += ' ' + outcome.address;
  line += ": " + verdict_of(outcome);
  if (outcome.plain) {
    line += ": neither encrypted nor verified";
  } else if (outcome.ok()) {
    line += ": " + outcome.seen.version + ", our certificate ";
    line += acceptance_text(outcome);
    if (const std::string_view doubt = identity_doubt(*outcome.backend.policy); !doubt.empty()) {
      line.append("; ").append(doubt);
    }
    if (const Error& but_for = outcome.seen.but_for; but_for.reason != Reason::Ok) {
      line += "; would be " + std::string(to_string(but_for.reason)) + ": " + but_for.detail;
    }
  } else if (!outcome.seen.verdict.detail.empty()) {
    line += ": " + outcome.seen.verdict.detail;
  }
  if (const std::string change = remedy_for(outcome); !change.empty()) line += " -> " + change;
  return one_line(std::move(line));
}

Facts summary_facts(const std::vector<Outcome>& outcomes) {
  const auto count = [&outcomes](auto is) {
    return static_cast<std::int64_t>(std::ranges::count_if(outcomes, is));
  };
  const auto is_plain = [](const Outcome& one) { return one.plain; };
  const auto is_ok = [](const Outcome& one) { return one.ok() && !one.plain; };
  const auto failed = [](const Outcome& one) { return !one.ok(); };
  Facts facts;
  facts.add("backends", static_cast<std::int64_t>(outcomes.size())).add("ok", count(is_ok));
  const auto would_fail = [](const Outcome& one) {
    return one.ok() && one.seen.but_for.reason != Reason::Ok;
  };
  facts.add("would_fail", count(would_fail)).add("failed", count(failed));
  return facts.add("plain_http", count(is_plain));
}

std::string summary_line(const std::vector<Outcome>& outcomes) {
  std::string line;
  for (const char c : summary_facts(outcomes).to_text())
    line += c == '\n' ? ", " : std::string(1, c);
  return line.substr(0, line.size() - 2);
}

}  // namespace handfast
