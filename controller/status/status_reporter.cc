#include "controller/status/status_reporter.h"

#include <algorithm>
#include <utility>

#include "controller/kube/resource.h"
#include "controller/objects/json_reader.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/ingress_class.h"
#include "controller/translate/services.h"
#include "controller/translate/upstream_policy.h"
#include "proxy/base/hex.h"

namespace handfast::status {
namespace {

using objects::ReplicaStatus;
using objects::UpstreamTlsPolicy;

constexpr std::string_view kLeader = "handfast-leader";
constexpr kube::Resource kPolicies{.kind = "UpstreamTLSPolicy",
                                   .plural = "upstreamtlspolicies",
                                   .group = "handfast.dev",
                                   .versions = {"v1alpha1"}};

std::string name_of(const ReplicaStatus& replica) {
  return replica.installation.empty() ? replica.pod : replica.installation + '/' + replica.pod;
}

// At most 128 bytes, and one for each replica.
std::string manager_of(const ReplicaStatus& replica) {
  const std::string name = name_of(replica);
  return "handfast-replica-" + (name.size() <= 100 ? name : config::sha256_hex(name));
}

bool is_entry_of(const ReplicaStatus& left, const ReplicaStatus& right) {
  return left.installation == right.installation && left.pod == right.pod;
}

Write policy_write(std::string key, const objects::Meta& meta, std::string_view manager,
                   std::string body) {
  Write write;
  write.key = std::move(key);
  write.method = "PATCH";
  write.path =
      kube::object_path(kPolicies, 0, meta.ns, meta.name) + "/status?force=true&fieldManager=";
  write.path += percent_encode(manager);  // of a name that somebody may have written there
  write.content_type = "application/apply-patch+yaml";  // JSON is YAML
  write.body = std::move(body);
  return write;
}

std::string key_of(std::string_view what, const objects::Meta& meta) {
  return std::string(what) + " UpstreamTLSPolicy " + meta.ns + '/' + meta.name;
}

// "shop/api:443" and "shop/api:https" for each port of the Services that it targets: what its
// shards and the endpoints behind them may be called.
std::vector<objects::ServiceBackend> backends_of(const std::string& ns,
                                                 const std::vector<objects::PolicyTarget>& targets,
                                                 const state::ClusterState& state) {
  std::vector<objects::ServiceBackend> backends;
  std::set<std::string_view> seen;
  for (const objects::PolicyTarget& target : targets) {
    if (!seen.insert(target.service).second) continue;
    const objects::Service* service = state.find_service(ns, target.service);
    if (service == nullptr) continue;
    for (const objects::ServicePort& port : service->ports) {
      backends.push_back({target.service, {port.port, {}}});
      if (!port.name.empty()) backends.push_back({target.service, {0, port.name}});
    }
  }
  return backends;
}

objects::PolicyStatus read_back(const std::string& body) {
  objects::JsonReader reader{body, 1};
  const auto object = reader.next();
  return object ? objects::read_policy_status(object->find("status")) : objects::PolicyStatus{};
}

bool is_same_but_handshakes(ReplicaStatus told, const ReplicaStatus& own) {
  told.verified = own.verified;
  told.failing = own.failing;
  told.last_failure = own.last_failure;
  return told == own;
}

}  // namespace

// What the proxy says, by name.
struct StatusReporter::Loaded {
  std::map<std::string_view, const config::PolicyState*> policies;
  std::multimap<std::string_view, const config::EndpointState*> endpoints;
};

StatusReporter::StatusReporter(Wishes& wishes, const Clock& clock,
                               const translate::Options& options, Settings settings)
    : wishes_(wishes), clock_(clock), options_(options), settings_(std::move(settings)) {}

void StatusReporter::tell(const Round& round) {
  const bool has_moved = note_node_addresses(round);
  if (has_moved || round.are_ingresses_touched) tell_ingresses(round);
  tell_events(round);

  const auto policies = round.state.upstream_tls_policies();
  Loaded loaded;
  if (round.proxy != nullptr && !policies.empty()) {
    for (const auto& policy : round.proxy->policies) loaded.policies[policy.name] = &policy;
    for (const auto& one : round.proxy->endpoints) loaded.endpoints.emplace(one.service, &one);
  }
  std::set<std::string> there;
  const std::set<std::string> before = std::exchange(leaders_, {});
  for (const UpstreamTlsPolicy* policy : policies) {
    if (policy->meta.uid.empty()) continue;
    tell_policy(round, *policy, loaded);
    there.insert(key_of("replica", policy->meta));
  }
  for (const objects::BackendTlsPolicy* policy : round.state.backend_tls_policies()) {
    if (!policy->meta.uid.empty()) tell_gateway_policy(round, *policy);
  }
  for (const std::string& key : before) {
    if (!leaders_.contains(key)) wishes_.forget(key);
  }
  std::erase_if(handshakes_told_, [&](const auto& one) {
    if (there.contains(one.first)) return false;
    wishes_.forget(one.first);
    return true;
  });
}

void StatusReporter::note(const translate::Report& over, const translate::Report& added) {
  for (const translate::Finding& finding : added) {
    findings_[finding.object].push_back({finding, {}, {}, {}});
  }
  for (const translate::Finding& finding : over) {
    const auto found = findings_.find(finding.object);
    if (found == findings_.end()) continue;
    std::vector<Standing>& standing = found->second;
    const auto same = std::ranges::find(standing, finding, &Standing::finding);
    if (same != standing.end()) {
      const std::string key = std::move(same->event);
      standing.erase(same);
      if (!key.empty() && std::ranges::find(standing, key, &Standing::event) == standing.end()) {
        wishes_.forget(key);
      }
    }
    if (standing.empty()) findings_.erase(found);
  }
}

bool StatusReporter::note_node_addresses(const Round& round) {
  if (!settings_.update_ingresses || !settings_.addresses.empty() || settings_.service ||
      !round.node_addresses) {
    return false;
  }
  Addresses now = round.node_addresses();
  if (now == node_addresses_) return false;
  node_addresses_ = std::move(now);
  return true;
}

void StatusReporter::tell_ingresses(const Round& round) {
  if (!settings_.update_ingresses) return;
  Addresses addresses = settings_.addresses.empty() ? node_addresses_ : settings_.addresses;
  if (addresses.empty() && settings_.service) {
    const auto* service = round.state.find_service(settings_.service->ns, settings_.service->name);
    // Not there (yet), or without an address: what the Ingresses say stays.
    if (service != nullptr) addresses = addresses_of(*service);
  }
  std::set<std::string> wanted;
  if (!addresses.empty()) {
    state::NoBook book;
    const state::Reader reader{round.state, book};
    const translate::ClassFilter classes{reader, options_};
    for (const objects::Ingress* ingress : round.state.ingresses()) {
      if (ingress->meta.uid.empty() || is_told(*ingress, addresses)) continue;
      translate::Report unheard;
      translate::ObjectReport report{unheard, "Ingress", ingress->meta};
      if (!classes.is_ours(*ingress, report)) continue;
      Write write = ingress_write(ingress->meta, addresses);
      wanted.insert(write.key);
      wishes_.want(std::move(write));
    }
  }
  for (const std::string& key : ingresses_) {
    if (!wanted.contains(key)) wishes_.forget(key);
  }
  ingresses_ = std::move(wanted);
}

void StatusReporter::tell_events(const Round& round) {
  const Monotonic now = clock_.now();
  for (auto& [about, findings] : findings_) {
    const objects::Meta* const meta = round.state.find_meta(about);
    const std::string uid = meta == nullptr ? std::string{} : meta->uid;
    for (Standing& one : findings) {
      if (one.uid != uid) {
        if (!one.event.empty()) wishes_.forget(std::exchange(one.event, {}));
        one.uid = uid;
      }
      if (!one.event.empty() && now < one.told_at + kTellEventsAgain) continue;
      auto event = make_event(one.finding, uid, settings_.reporter, clock_.unix_now());
      if (!event) continue;
      one.event = event->key;
      one.told_at = now;
      wishes_.want(*std::move(event));
    }
  }
}

void StatusReporter::tell_policy(const Round& round, const UpstreamTlsPolicy& policy,
                                 const Loaded& loaded) {
  PolicyView view{.policy = policy, .findings = {}, .shards = {}, .loaded = {}, .endpoints = {}};
  view.findings = findings_about(objects::key(policy));
  view.is_served = round.is_served;
  for (const objects::ServiceBackend& backend :
       backends_of(policy.meta.ns, policy.targets, round.state)) {
    const std::string name =
        translate::policy_shard_name(translate::PolicyRef{.upstream = &policy}, backend);
    const std::string shard = "tls/" + name;
    const publish::StoredShard* stored = round.manifest.find(shard);
    if (stored == nullptr) continue;
    view.shards.push_back(shard + '=' + stored->hash);
    if (const auto found = round.rejected.find(shard); found != round.rejected.end()) {
      view.rejected = &found->second;
    }
    if (const auto found = loaded.policies.find(name); found != loaded.policies.end()) {
      view.loaded.push_back(found->second);
    }
    const std::string cluster = translate::cluster_name(policy.meta.ns, backend);
    const auto [first, last] = loaded.endpoints.equal_range(cluster);
    for (auto one = first; one != last; ++one) view.endpoints.push_back(one->second);
  }
  std::ranges::sort(view.shards);
  const ReplicaStatus own =
      replica_status(view, settings_.installation, settings_.reporter.instance);
  tell_own(view, own);
  tell_leaders(round, view, own);
}

std::vector<const translate::Finding*> StatusReporter::findings_about(
    const objects::ObjectKey& object) const {
  std::vector<const translate::Finding*> about;
  const auto found = findings_.find(object);
  if (found == findings_.end()) return about;
  for (const Standing& one : found->second) about.push_back(&one.finding);
  return about;
}

void StatusReporter::tell_gateway_policy(const Round& round,
                                         const objects::BackendTlsPolicy& policy) {
  const auto backends = backends_of(policy.meta.ns, policy.targets, round.state);
  const bool is_used = std::ranges::any_of(backends, [&](const objects::ServiceBackend& backend) {
    return round.manifest.find("service/" + translate::cluster_name(policy.meta.ns, backend)) !=
           nullptr;
  });
  auto write =
      ancestor_write(policy, is_used, findings_about(objects::key(policy)),
                     {options_.controller_name, options_.ingress_class}, clock_.unix_now());
  if (!write) {
    wishes_.forget(ancestor_key(policy));
    return;
  }
  leaders_.insert(write->key);
  wishes_.want(*std::move(write));
}

void StatusReporter::tell_own(const PolicyView& view, const ReplicaStatus& own) {
  const objects::Meta& meta = view.policy.meta;
  std::string key = key_of("replica", meta);
  const auto& replicas = view.policy.status.replicas;
  const auto told = std::ranges::find_if(
      replicas, [&own](const ReplicaStatus& one) { return is_entry_of(one, own); });
  if (told != replicas.end() && *told == own) {
    wishes_.forget(key);
    return;
  }
  const Monotonic now = clock_.now();
  Monotonic& told_at = handshakes_told_[key];
  if (told != replicas.end() && is_same_but_handshakes(*told, own) &&
      now < told_at + kHandshakeNews) {
    return;
  }
  told_at = now;
  Write write = policy_write(std::move(key), meta, manager_of(own), replica_body(meta, own));
  write.leader_only = false;
  wishes_.want(std::move(write));
}

void StatusReporter::tell_leaders(const Round& round, const PolicyView& view,
                                  const ReplicaStatus& own) {
  const objects::Meta& meta = view.policy.meta;
  std::vector<ReplicaStatus> replicas{own};
  for (const ReplicaStatus& other : view.policy.status.replicas) {
    if (is_entry_of(other, own)) continue;
    if (!round.is_gone || !round.is_gone(other)) {
      replicas.push_back(other);
      if (other.installation.empty()) replicas.back().installation = own.installation;
      continue;
    }
    std::string key = key_of("prune " + name_of(other), meta);
    leaders_.insert(key);
    wishes_.want(policy_write(std::move(key), meta, manager_of(other), no_replica_body(meta)));
  }
  replicas = replicas_that_count(std::move(replicas));
  const std::string key = key_of("status", meta);
  if (replicas.front().installation != own.installation) {
    wishes_.forget(key);
    return;
  }
  const auto conditions = policy_conditions(view, replicas, clock_.unix_now());
  std::string body = policy_body(view, conditions, replicas);
  if (is_told(view.policy.status, read_back(body))) {
    wishes_.forget(key);
    return;
  }
  leaders_.insert(key);
  wishes_.want(policy_write(key, meta, kLeader, std::move(body)));
}

}  // namespace handfast::status
