#include "controller/admission/index.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/ingress_class.h"

namespace handfast::admission {
namespace {

using objects::ObjectKey;

constexpr std::string_view kClassAnnotation = "kubernetes.io/ingress.class";

std::string full_name(std::string_view ns, std::string_view name) {
  return std::string(ns).append("/").append(name);
}

bool is_material(std::string_view kind) {
  return kind == "Secret" || kind == "ConfigMap" || kind == "ClusterTrustBundle";
}

// What decides whose an Ingress is, and when it claims.
objects::Ingress strip(const objects::Ingress& ingress) {
  objects::Ingress kept;
  kept.meta.ns = ingress.meta.ns;
  kept.meta.name = ingress.meta.name;
  kept.meta.creation_timestamp = ingress.meta.creation_timestamp;
  const auto annotation = ingress.meta.annotations.find(kClassAnnotation);
  if (annotation != ingress.meta.annotations.end()) kept.meta.annotations.insert(*annotation);
  kept.class_name = ingress.class_name;
  return kept;
}

// What translation asks a Service for.
objects::Service strip(const objects::Service& service) {
  objects::Service kept = service;
  kept.meta.origin = {};
  return kept;
}

const std::vector<objects::PolicyTarget>& targets_of(const objects::Object& object) {
  static const std::vector<objects::PolicyTarget> kNone;
  if (const auto* own = std::get_if<objects::UpstreamTlsPolicy>(&object)) return own->targets;
  if (const auto* other = std::get_if<objects::BackendTlsPolicy>(&object)) return other->targets;
  return kNone;
}

bool is_policy(std::string_view kind) {
  return kind == "UpstreamTLSPolicy" || kind == "BackendTLSPolicy";
}

bool ask_class(const state::ClusterState& classes, const translate::Options& options,
               const objects::Ingress& ingress) {
  state::NoBook book;
  const state::Reader reader{classes, book};
  translate::Report unheard;
  translate::ObjectReport report{unheard, "Ingress", ingress.meta};
  return translate::ClassFilter{reader, options}.is_ours(ingress, report);
}

}  // namespace

// The order in which claims count: as ClusterState::ingresses().
struct Index::Rank {
  std::string creation;
  std::string name;  // "shop/orders"
  friend bool operator<(const Rank& left, const Rank& right) {
    return left.creation != right.creation ? left.creation < right.creation
                                           : left.name > right.name;
  }
};

struct Index::Entry {
  objects::Ingress ingress;
  bool is_ours = false;
  // Of a Host claim whether TLS passes through.
  std::vector<std::pair<std::string, bool>> claims;

  [[nodiscard]] Rank rank() const {
    return {ingress.meta.creation_timestamp, full_name(ingress.meta.ns, ingress.meta.name)};
  }
};

struct Index::Tables {
  bool synced = false;
  state::ClusterState classes;
  std::optional<objects::ConfigMap> settings;
  std::unordered_map<std::string, Entry> ingresses;
  // By a claim's key, of Ingresses of ours alone: who claims it, first to last.
  std::unordered_map<std::string, std::map<Rank, bool>> holders;
  std::unordered_map<std::string, objects::Service> services;
  std::map<ObjectKey, objects::Object> policies;
  std::unordered_map<std::string, std::set<ObjectKey>> policies_of;  // by Service
  std::unordered_map<std::string, std::map<std::string, objects::ReferenceGrant>> grants;
  std::set<ObjectKey> materials;
  std::set<ObjectKey> answered;
};

Index::Index(const translate::Options& options, Told told)
    : options_(options), told_(told), tables_(std::make_unique<Tables>()) {}
Index::~Index() = default;

void Index::apply(const objects::Object& object) {
  const ObjectKey key = objects::key(object);
  if (const auto* ingress = std::get_if<objects::Ingress>(&object)) {
    Entry entry;
    entry.ingress = strip(*ingress);
    for (const Claim& claim : claims_of(*ingress, options_)) {
      entry.claims.emplace_back(claim.key(), claim.passes);
    }
    const std::unique_lock lock{mutex_};
    Entry& kept = tables_->ingresses[full_name(key.ns, key.name)];
    take_claims(kept);
    kept = std::move(entry);
    kept.is_ours = ask_class(tables_->classes, options_, kept.ingress);
    add_claims(kept);
    return;
  }
  const std::unique_lock lock{mutex_};
  Tables& tables = *tables_;
  if (const auto* service = std::get_if<objects::Service>(&object)) {
    tables.services.insert_or_assign(full_name(key.ns, key.name), strip(*service));
  } else if (std::holds_alternative<objects::IngressClass>(object)) {
    if (tables.classes.apply(object)) judge_classes();
  } else if (const auto* grant = std::get_if<objects::ReferenceGrant>(&object)) {
    tables.grants[key.ns].insert_or_assign(key.name, *grant);
  } else if (is_material(key.kind)) {
    tables.materials.insert(key);
    const auto& settings = options_.config_map;
    if (settings && key == ObjectKey{"ConfigMap", settings->ns, settings->name}) {
      tables.settings = std::get<objects::ConfigMap>(object);
    }
  } else if (is_policy(key.kind)) {
    forget_policy(key);
    for (const auto& target : targets_of(object)) {
      tables.policies_of[full_name(key.ns, target.service)].insert(key);
    }
    tables.policies.emplace(key, object);
  }
}

void Index::remove(const ObjectKey& key) {
  const std::unique_lock lock{mutex_};
  Tables& tables = *tables_;
  const std::string name = full_name(key.ns, key.name);
  if (key.kind == "Ingress") {
    const auto found = tables.ingresses.find(name);
    if (found == tables.ingresses.end()) return;
    take_claims(found->second);
    tables.ingresses.erase(found);
  } else if (key.kind == "Service") {
    tables.services.erase(name);
  } else if (key.kind == "IngressClass") {
    if (tables.classes.remove(key)) judge_classes();
  } else if (key.kind == "ReferenceGrant") {
    tables.grants[key.ns].erase(key.name);
    if (tables.grants[key.ns].empty()) tables.grants.erase(key.ns);
  } else if (is_material(key.kind)) {
    tables.materials.erase(key);
    const auto& settings = options_.config_map;
    if (settings && key == ObjectKey{"ConfigMap", settings->ns, settings->name}) {
      tables.settings.reset();
    }
  } else {
    forget_policy(key);
  }
}

void Index::forget_policy(const ObjectKey& key) {
  const auto found = tables_->policies.find(key);
  if (found == tables_->policies.end()) return;
  for (const auto& target : targets_of(found->second)) {
    const auto of = tables_->policies_of.find(full_name(key.ns, target.service));
    if (of == tables_->policies_of.end()) continue;
    of->second.erase(key);
    if (of->second.empty()) tables_->policies_of.erase(of);
  }
  tables_->policies.erase(found);
}

void Index::set_asked(const std::set<ObjectKey>& asked) {
  const std::unique_lock lock{mutex_};
  std::erase_if(tables_->answered, [&](const ObjectKey& key) { return !asked.contains(key); });
}

void Index::add_answered(const ObjectKey& key) {
  const std::unique_lock lock{mutex_};
  tables_->answered.insert(key);
}

void Index::set_told(Told told) {
  const std::unique_lock lock{mutex_};
  told_ = told;
}

void Index::set_synced() {
  const std::unique_lock lock{mutex_};
  tables_->synced = true;
}

bool Index::is_synced() const {
  const std::shared_lock lock{mutex_};
  return tables_->synced;
}

void Index::add_claims(Entry& entry) {
  if (!entry.is_ours) return;
  for (const auto& [key, passes] : entry.claims) {
    tables_->holders[key].try_emplace(entry.rank(), passes);
  }
}

void Index::take_claims(Entry& entry) {
  if (!entry.is_ours) return;
  for (const auto& [key, passes] : entry.claims) {
    const auto found = tables_->holders.find(key);
    if (found == tables_->holders.end()) continue;
    found->second.erase(entry.rank());
    if (found->second.empty()) tables_->holders.erase(found);
  }
}

// An IngressClass came, went or changed: rare, so every Ingress is looked at again.
void Index::judge_classes() {
  for (auto& [name, entry] : tables_->ingresses) {
    const bool is_ours = ask_class(tables_->classes, options_, entry.ingress);
    if (is_ours == entry.is_ours) continue;
    take_claims(entry);
    entry.is_ours = is_ours;
    add_claims(entry);
  }
}

bool Index::is_ours(const objects::Ingress& ingress) const {
  const std::shared_lock lock{mutex_};
  return ask_class(tables_->classes, options_, ingress);
}

std::optional<Index::Holder> Index::find_holder(const Claim& claim, const ObjectKey& except) const {
  const std::string own = full_name(except.ns, except.name);
  const std::shared_lock lock{mutex_};
  const auto found = tables_->holders.find(claim.key());
  if (found == tables_->holders.end()) return std::nullopt;
  const auto first = std::ranges::find_if(
      found->second, [&own](const auto& each) { return each.first.name != own; });
  if (first == found->second.end()) return std::nullopt;
  return Holder{first->first.name, first->second};
}

bool Index::is_missing(const ObjectKey& key) const {
  const std::shared_lock lock{mutex_};
  if (key.kind == "Service") return !tables_->services.contains(full_name(key.ns, key.name));
  if (tables_->materials.contains(key)) return false;
  return told_ == Told::All || tables_->answered.contains(key);
}

void Index::add_to(state::ClusterState& state, const Neighbours& neighbours) const {
  const std::shared_lock lock{mutex_};
  for (const auto* ingress_class : tables_->classes.ingress_classes()) state.apply(*ingress_class);
  if (tables_->settings) state.apply(*tables_->settings);
  for (const auto& [ns, name] : neighbours.services) {
    const std::string full = full_name(ns, name);
    const auto service = tables_->services.find(full);
    if (service != tables_->services.end()) state.apply(service->second);
    const auto policies = tables_->policies_of.find(full);
    if (policies == tables_->policies_of.end()) continue;
    for (const ObjectKey& key : policies->second) state.apply(tables_->policies.at(key));
  }
  for (const std::string& ns : neighbours.granting) {
    const auto grants = tables_->grants.find(ns);
    if (grants == tables_->grants.end()) continue;
    for (const auto& [name, grant] : grants->second) state.apply(grant);
  }
}

}  // namespace handfast::admission
