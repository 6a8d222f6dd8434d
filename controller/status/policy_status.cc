#include "controller/status/policy_status.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "controller/status/text.h"
#include "controller/translate/findings.h"
#include "proxy/config/emit.h"
#include "proxy/config/model.h"

namespace handfast::status {
namespace {

using config::JsonObject;
using objects::ReplicaStatus;
using objects::StatusCondition;

constexpr std::string_view kProgrammed = "Programmed";
constexpr std::string_view kPending = "Pending";
constexpr std::string_view kNotReferenced = "NotReferenced";
constexpr std::string_view kApiVersion = "handfast.dev/v1alpha1";
// The CRD's limit is 32,768; a person reads less.
constexpr std::size_t kMaxMessage = 1024;
constexpr std::size_t kMostCrls = 16;  // as the CRD allows

// A condition before it has a time.
struct Verdict {
  std::string status, reason, message;
};

Verdict yes(std::string_view reason, std::string message) {
  return {"True", std::string(reason), std::move(message)};
}
Verdict no(std::string_view reason, std::string message) {
  return {"False", std::string(reason), std::move(message)};
}
Verdict unknown(std::string_view reason, std::string message) {
  return {"Unknown", std::string(reason), std::move(message)};
}

using Findings = std::vector<const translate::Finding*>;

// The worst finding that this condition tells.
const translate::Finding* find_worst(const Findings& findings, std::string_view type) {
  const translate::Finding* worst = nullptr;
  for (const translate::Finding* finding : findings) {
    if (finding->condition.type != type) continue;
    if (worst == nullptr || finding->severity > worst->severity) worst = finding;
  }
  return worst;
}
const translate::Finding* find_worst(const PolicyView& view, std::string_view type) {
  return find_worst(view.findings, type);
}

Verdict from_finding(const translate::Finding& finding, std::string_view status) {
  return {std::string(status), std::string(finding.condition.reason), translate::sentence(finding)};
}

Verdict accepted(const Findings& findings) {
  const auto* finding = find_worst(findings, "Accepted");
  return finding != nullptr ? from_finding(*finding, "False")
                            : yes("Accepted", "It decides on TLS to its targets.");
}

Verdict resolved(const Findings& findings) {
  const auto* finding = find_worst(findings, "ResolvedRefs");
  if (finding == nullptr) return yes("ResolvedRefs", "All that it names is there and good.");
  // A bundle with one bad entry serves with the others.
  return from_finding(*finding, finding->severity == translate::Severity::Error ? "False" : "True");
}

Verdict programmed(const PolicyView& view, const std::vector<ReplicaStatus>& replicas) {
  if (replicas.empty()) return no(kPending, "No replica has told of it yet.");
  for (const ReplicaStatus& replica : replicas) {
    if (replica.observed_generation < view.policy.meta.generation) {
      return no(kPending, "Replica " + replica.pod + " has an older generation of it.");
    }
    if (replica.programmed != kProgrammed) {
      return no(replica.programmed, "Replica " + replica.pod + ": " + replica.message);
    }
  }
  // Flags of installations differ, and with them what they make of it.
  const auto differs = std::ranges::adjacent_find(
      replicas, [](const ReplicaStatus& left, const ReplicaStatus& right) {
        return left.installation == right.installation && left.hash != right.hash;
      });
  if (differs != replicas.end()) {
    return no(kPending, "Replicas " + differs->pod + " and " + std::next(differs)->pod +
                            " serve different states of what it names.");
  }
  return yes(kProgrammed, "The proxy of every replica serves it.");
}

Verdict verified(const PolicyView& view, const std::vector<ReplicaStatus>& replicas) {
  std::uint32_t good = 0;
  for (const ReplicaStatus& replica : replicas) {
    if (replica.failing > 0) {
      const std::string& last = replica.last_failure;
      return no(camel_case(last.substr(0, last.find(' '))),
                "Replica " + replica.pod + ": the handshake with " +
                    std::to_string(replica.failing) + " endpoint(s) fails, last with " + last +
                    '.');
    }
    good = std::max(good, replica.verified);
  }
  // A preflight's: the Service's next connections will fail.
  if (const auto* finding = find_worst(view, "Verified")) return from_finding(*finding, "False");
  if (good == 0) return unknown("Unknown", "No endpoint has been connected to yet.");
  return yes("Verified", std::to_string(good) + " endpoint(s) passed verification.");
}

Verdict credentials(const PolicyView& view) {
  if (const auto* finding = find_worst(view, "CredentialsHealthy")) {
    return from_finding(*finding, "False");
  }
  if (!view.policy.client_certificate) return yes("Healthy", "It presents no certificate.");
  return yes("Healthy", "The certificate that it presents is good.");
}

Verdict revocation(const PolicyView& view) {
  if (const auto* finding = find_worst(view, "RevocationFresh")) {
    return from_finding(*finding, "False");
  }
  if (view.policy.validation.revocation.crls.empty()) {
    return unknown("NotConfigured", "It names no revocation list.");
  }
  return yes("Fresh", "Every revocation list that it names is in time.");
}

std::optional<Verdict> degraded(const PolicyView& view) {
  const auto* finding = find_worst(view, "Degraded");
  if (finding == nullptr) return std::nullopt;
  return from_finding(*finding, "True");
}

// One that didn't change keeps its time.
struct Conditions {
  void add(std::string_view type, Verdict verdict) {
    StatusCondition condition{.type = std::string(type),
                              .status = std::move(verdict.status),
                              .reason = std::move(verdict.reason),
                              .message = translate::clip(verdict.message, kMaxMessage),
                              .observed_generation = generation,
                              .last_transition = translate::utc_time(now)};
    const auto before = std::ranges::find(old, type, &StatusCondition::type);
    if (before != old.end() && before->status == condition.status &&
        !before->last_transition.empty()) {
      condition.last_transition = before->last_transition;
    }
    made.push_back(std::move(condition));
  }

  std::int64_t generation;
  const std::vector<StatusCondition>& old;
  UnixSeconds now;
  std::vector<StatusCondition> made{};
};

// The first certificate that the proxy has loaded for it.
const config::PolicyState* find_certificate(const PolicyView& view) {
  const auto found = std::ranges::find_if(
      view.loaded, [](const config::PolicyState* state) { return !state->sha256.empty(); });
  return found == view.loaded.end() ? nullptr : *found;
}

void add_client(JsonObject& status, const PolicyView& view) {
  const config::PolicyState* state = find_certificate(view);
  const auto& ref = view.policy.client_certificate;
  if (state == nullptr || !ref) return;
  JsonObject client{status.key("client")};
  client.text("secretRef", (ref->ns.empty() ? view.policy.meta.ns : ref->ns) + '/' + ref->name);
  client.text("subject", state->subject);
  client.text("issuer", state->issuer);
  std::vector<std::string> uris;
  for (const std::string& san : state->sans) {
    if (san.starts_with("URI:") && uris.size() < 16) uris.push_back(san.substr(4));
  }
  config::append_list(client.key("uriSANs"), uris, config::append_quoted);
  client.text("serial", state->serial);
  client.text("sha256", state->sha256);
  client.text("notBefore", translate::utc_time(state->not_before));
  client.text("notAfter", translate::utc_time(state->not_after));
}

void add_crl(std::string& out, const config::CrlState& crl) {
  JsonObject entry{out};
  entry.text("issuer", crl.issuer);
  if (!crl.number.empty()) entry.text("number", crl.number);
  entry.text("thisUpdate", translate::utc_time(crl.this_update));
  if (crl.next_update != 0) entry.text("nextUpdate", translate::utc_time(crl.next_update));
  entry.number("entries", crl.entries);
}

void add_trust(JsonObject& status, const PolicyView& view) {
  if (view.loaded.empty()) return;
  const config::PolicyState& state = *view.loaded.front();
  if (state.ca_count > 0) {
    JsonObject trust{status.key("trust")};
    trust.number("anchors", state.ca_count);
    trust.text("earliestNotAfter", translate::utc_time(state.ca_not_after));
  }
  const auto shown = std::min(state.crls.size(), kMostCrls);
  if (shown > 0)
    config::append_list(status.key("crl"), std::span{state.crls}.first(shown), add_crl);
}

void add_replicas(JsonObject& status, const PolicyView& view,
                  const std::vector<ReplicaStatus>& replicas) {
  std::uint64_t ready = 0;
  std::uint64_t good = 0;
  std::uint64_t failing = 0;
  std::int64_t generation = replicas.empty() ? 0 : view.policy.meta.generation;
  for (const ReplicaStatus& replica : replicas) {
    if (replica.programmed == kProgrammed) ++ready;
    good = std::max<std::uint64_t>(good, replica.verified);
    failing = std::max<std::uint64_t>(failing, replica.failing);
    generation = std::min(generation, replica.observed_generation);
  }
  {
    JsonObject proxies{status.key("proxies")};
    proxies.number("ready", ready);
    proxies.number("total", std::uint64_t{replicas.size()});
    proxies.number("generation", generation);
  }
  JsonObject endpoints{status.key("endpoints")};
  endpoints.number("total", good + failing);
  endpoints.number("verified", good);
  endpoints.number("failing", failing);
}

// The head of an object for server-side apply; `fill` writes its status.
template <class Fill>
std::string apply_body(const objects::Meta& meta, Fill fill) {
  std::string body;
  {
    JsonObject object{body};
    object.text("apiVersion", kApiVersion);
    object.text("kind", "UpstreamTLSPolicy");
    {
      JsonObject metadata{object.key("metadata")};
      metadata.text("namespace", meta.ns);
      metadata.text("name", meta.name);
    }
    JsonObject status{object.key("status")};
    fill(status);
  }
  return body;
}

}  // namespace

std::vector<ReplicaStatus> replicas_that_count(std::vector<ReplicaStatus> replicas) {
  std::set<std::string> using_it;
  for (const ReplicaStatus& replica : replicas) {
    if (replica.programmed != kNotReferenced) using_it.insert(replica.installation);
  }
  if (!using_it.empty()) {
    std::erase_if(replicas, [&using_it](const ReplicaStatus& replica) {
      return !using_it.contains(replica.installation);
    });
  }
  std::ranges::sort(replicas, {}, [](const ReplicaStatus& replica) {
    return std::tie(replica.installation, replica.pod);
  });
  return replicas;
}

ReplicaStatus replica_status(const PolicyView& view, std::string_view installation,
                             std::string_view pod) {
  ReplicaStatus status;
  status.installation = installation;
  status.pod = pod;
  const auto set = [&status](std::string_view reason, std::string message) {
    status.programmed = reason;
    status.message = translate::clip(message, kMaxMessage);
  };
  status.observed_generation = view.policy.meta.generation;
  for (const config::EndpointState* endpoint : view.endpoints) {
    if (endpoint->result == "ok") {
      ++status.verified;
      continue;
    }
    ++status.failing;
    status.last_failure = endpoint->result + ' ' + endpoint->address;
  }
  if (!view.shards.empty()) {
    std::string content;
    for (const std::string& shard : view.shards) content.append(shard).append("\n");
    status.hash = config::sha256_hex(content);
  }

  const auto refused = std::ranges::find_if(
      view.loaded, [](const config::PolicyState* state) { return !state->refused.empty(); });
  if (view.rejected != nullptr) {
    set("ProxyRejected", view.rejected->detail);
  } else if (view.shards.empty() && view.policy.mode != objects::PolicyMode::None) {
    set(kNotReferenced, "no route leads to its targets");
  } else if (!view.is_served) {
    set(kPending, "the proxy has not acknowledged it yet");
  } else if (const auto* kept = find_worst(view, "Programmed")) {
    set(kept->condition.reason, translate::sentence(*kept));
  } else if (refused != view.loaded.end()) {
    set("Refused", "its Services answer 503: " + (*refused)->refused);
  } else {
    set(kProgrammed, "");
  }
  return status;
}

std::vector<StatusCondition> policy_conditions(const PolicyView& view,
                                               const std::vector<ReplicaStatus>& replicas,
                                               UnixSeconds now) {
  Conditions conditions{view.policy.meta.generation, view.policy.status.conditions, now};
  conditions.add("Accepted", accepted(view.findings));
  conditions.add("ResolvedRefs", resolved(view.findings));
  conditions.add(kProgrammed, programmed(view, replicas));
  conditions.add("Verified", verified(view, replicas));
  conditions.add("CredentialsHealthy", credentials(view));
  conditions.add("RevocationFresh", revocation(view));
  if (auto verdict = degraded(view)) conditions.add("Degraded", *std::move(verdict));
  return std::move(conditions.made);
}

std::vector<StatusCondition> ancestor_conditions(const Findings& findings, std::int64_t generation,
                                                 const std::vector<StatusCondition>& old,
                                                 UnixSeconds now) {
  Conditions conditions{generation, old, now};
  Verdict is_accepted = accepted(findings);
  Verdict is_resolved = resolved(findings);
  if (is_accepted.status == "True" && is_resolved.status == "False") {
    is_accepted = no("NoValidCACertificate", is_resolved.message);
  }
  conditions.add("Accepted", std::move(is_accepted));
  conditions.add("ResolvedRefs", std::move(is_resolved));
  return std::move(conditions.made);
}

void append_conditions(std::string& out, const std::vector<StatusCondition>& conditions) {
  config::append_list(out, conditions, [](std::string& list, const StatusCondition& condition) {
    JsonObject entry{list};
    entry.text("type", condition.type);
    entry.text("status", condition.status);
    entry.text("reason", condition.reason);
    entry.text("message", condition.message);
    entry.number("observedGeneration", condition.observed_generation);
    entry.text("lastTransitionTime", condition.last_transition);
  });
}

bool is_told(const std::vector<StatusCondition>& told, const std::vector<StatusCondition>& wanted) {
  return std::ranges::equal(told, wanted,
                            [](const StatusCondition& left, const StatusCondition& right) {
                              return left.type == right.type && left.status == right.status &&
                                     left.reason == right.reason && left.message == right.message &&
                                     left.observed_generation == right.observed_generation;
                            });
}

bool is_told(const objects::PolicyStatus& told, const objects::PolicyStatus& wanted) {
  return told.observed_generation == wanted.observed_generation && told.rest == wanted.rest &&
         is_told(told.conditions, wanted.conditions);
}

std::string replica_body(const objects::Meta& meta, const ReplicaStatus& replica) {
  return apply_body(meta, [&replica](JsonObject& status) {
    config::append_list(status.key("replicas"), std::array{&replica},
                        [](std::string& out, const ReplicaStatus* one) {
                          JsonObject entry{out};
                          entry.text("installation", one->installation);
                          entry.text("pod", one->pod);
                          entry.number("observedGeneration", one->observed_generation);
                          entry.text("hash", one->hash);
                          entry.text("programmed", one->programmed);
                          entry.text("message", one->message);
                          entry.number("verified", std::uint64_t{one->verified});
                          entry.number("failing", std::uint64_t{one->failing});
                          entry.text("lastFailure", one->last_failure);
                        });
  });
}

std::string no_replica_body(const objects::Meta& meta) {
  return apply_body(meta, [](JsonObject&) {});
}

std::string policy_body(const PolicyView& view, const std::vector<StatusCondition>& conditions,
                        const std::vector<ReplicaStatus>& replicas) {
  return apply_body(view.policy.meta, [&](JsonObject& status) {
    status.number("observedGeneration", view.policy.meta.generation);
    append_conditions(status.key("conditions"), conditions);
    add_client(status, view);
    add_trust(status, view);
    add_replicas(status, view, replicas);
  });
}

}  // namespace handfast::status
