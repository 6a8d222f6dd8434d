// What a round of work means for the outside: the part of Translator that tells it.

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "controller/translate/translator.h"

namespace handfast::translate {
namespace {

// The unit tells these now.
void tell(Unit& unit, Rare<Report> findings, Change& change) {
  if (findings == unit.told) return;
  const auto add = [](const Rare<Report>& some, Report& to) {
    if (some) to.insert(to.end(), some->begin(), some->end());
  };
  add(unit.told, change.findings_over);
  add(findings, change.findings_new);
  unit.told = std::move(findings);
}

// Those of its trace, which are kept once.
void tell_trace(Unit& unit, Change& change) {
  if (unit.is_out) return;
  tell(unit, unit.trace.findings, change);
  unit.told.reset();
  unit.is_out = true;
}

template <class Kind>
void put(std::string name, Rare<Kind>& fresh, bool is_used, Change& change) {
  if (!is_used) {
    change.shards.insert_or_assign(std::move(name), std::nullopt);
  } else if (fresh) {
    change.shards.insert_or_assign(std::move(name), config::Shard{*std::move(fresh)});
  }
  fresh.reset();
}

}  // namespace

bool Translator::is_used(const Unit& unit) const {
  switch (unit.kind) {
    case UnitKind::Item:
      return unit.used[ItemUnit::Found] != 0;
    case UnitKind::Policy:
      return static_cast<const PolicyUnit&>(unit).policy != PolicyRef{};
    case UnitKind::PolicyPort:
      return unit.used[0] != 0;
    case UnitKind::Cluster:
      return Clusters::is_used(static_cast<const ClusterUnit&>(unit));
    case UnitKind::Target:
      return PolicyTargets::is_used(unit);
    case UnitKind::Ingress: {
      const auto& key = *static_cast<const IngressUnit&>(unit).key;
      return all_.find_ingress(key.ns, key.name) != nullptr;
    }
    case UnitKind::Rest: {
      const auto& key = *static_cast<const RestUnit&>(unit).of->key;
      return all_.find_ingress(key.ns, key.name) != nullptr;
    }
    case UnitKind::Host:
      return hosts_.is_used(static_cast<const HostUnit&>(unit));
    case UnitKind::Single:
      return true;
  }
  return true;
}

// All that were worked on or are used otherwise than before, each once. What nobody uses lets go of
// what it used.
std::vector<Unit*> Translator::sweep() {
  std::vector<Unit*> units;
  std::unordered_set<Unit*> seen;
  for (auto list = tracer_.take_touched(); !list.empty(); list = tracer_.take_touched()) {
    for (Unit* unit : list) {
      if (seen.insert(unit).second) units.push_back(unit);
      if (!is_used(*unit)) {
        tracer_.forget(*unit);
      } else if (unit->kind == UnitKind::Cluster) {
        auto& cluster = static_cast<ClusterUnit&>(*unit);
        if (cluster.is_backend != (cluster.used[ClusterUnit::Backend] != 0)) tracer_.mark(cluster);
      }
    }
    clusters_.refresh();
  }
  return units;
}

Change Translator::collect(bool whole) {
  Change change;
  change.is_whole = whole;
  materials_.refresh();
  std::vector<Unit*> units = sweep();
  for (Unit* unit : units) collect(*unit, change);
  change.default_certificate = default_certificate_;
  change.front = settings_.front;
  change.front.ticket_keys = ticket_keys_;
  const std::string front_name = config::shard_name(config::Front{});
  if (change.front == config::Front{}) {
    change.shards[front_name] = std::nullopt;
  } else {
    change.shards[front_name] = change.front;
  }
  if (whole) std::erase_if(change.shards, [](const auto& each) { return !each.second; });
  // The rest of an Ingress goes with it.
  std::erase_if(
      units, [this](const Unit* unit) { return unit->kind == UnitKind::Rest || is_used(*unit); });
  for (Unit* unit : units) drop(*unit);
  change.references = tracer_.take_references();
  return change;
}

void Translator::collect(Unit& unit, Change& change) {
  const bool used = is_used(unit);
  switch (unit.kind) {
    case UnitKind::Item:
      collect_item(static_cast<ItemUnit&>(unit), change);
      return;
    case UnitKind::PolicyPort: {
      auto& port = static_cast<PolicyPortUnit&>(unit);
      put("tls/" + *port.name, port.fresh, used, change);
      break;
    }
    case UnitKind::Cluster: {
      auto& cluster = static_cast<ClusterUnit&>(unit);
      put("service/" + *cluster.name, cluster.fresh, used, change);
      break;
    }
    case UnitKind::Host: {
      auto& host = static_cast<HostUnit&>(unit);
      put("host/" + *host.name, host.fresh, used, change);
      break;
    }
    case UnitKind::Ingress: {
      auto& ingress = static_cast<IngressUnit&>(unit);
      collect_policies(ingress.fresh, ingress.shards, ingress.out, change);
      break;
    }
    case UnitKind::Rest: {
      auto& rest = static_cast<RestUnit&>(unit);
      collect_policies(rest.fresh, rest.shards, rest.out, change);
      break;
    }
    case UnitKind::Single:
      if (&unit == &tcp_unit_) collect_tcp_ports(change);
      if (&unit == &global_auth_.unit()) {
        auto& global = global_auth_.unit();
        collect_policies(global.fresh, global.shards, global.out, change);
      }
      break;
    case UnitKind::Policy:
    case UnitKind::Target:
      break;
  }
  tell_trace(unit, change);
  // The shard may be the first to be published that names them.
  for (const Use& use : unit.trace.uses) {
    if (use.unit->kind != UnitKind::Item || use.how != ItemUnit::Published) continue;
    materials_.add_files(static_cast<const ItemUnit&>(*use.unit), all_, change.files);
  }
}

void Translator::collect_item(ItemUnit& unit, Change& change) {
  Report findings = Materials::findings(unit);
  tell(unit, findings.empty() ? Rare<Report>{} : Rare<Report>{std::move(findings)}, change);
  auto good = Materials::good_item(unit);
  const bool is_other = unit.is_given ? !good : Rare<GoodItem>(good) != unit.given;
  if (is_other || change.is_whole) {
    change.items.insert_or_assign(*unit.key, good);
    if (good) materials_.add_files(unit, all_, change.files);
  }
  unit.is_given = good.has_value();
  unit.given.reset();
}

void Translator::collect_policies(std::vector<config::UpstreamTls>& fresh,
                                  const SortedSet<std::string>& names, SortedSet<std::string>& out,
                                  Change& change) {
  for (const std::string& name : out) {
    if (!names.contains(name)) change.shards.try_emplace("tls/" + name, std::nullopt);
  }
  for (config::UpstreamTls& policy : fresh) {
    std::string name = "tls/" + policy.name;
    change.shards.insert_or_assign(std::move(name), config::Shard{std::move(policy)});
  }
  std::vector<config::UpstreamTls>().swap(fresh);  // `= {}` would keep the room
  out = names;
}

void Translator::collect_tcp_ports(Change& change) {
  std::set<std::string> names;
  for (const config::TcpPort& port : tcp_ports_) {
    config::Shard shard{port};
    std::string name = config::shard_name(shard);
    names.insert(name);
    change.shards.insert_or_assign(std::move(name), std::move(shard));
  }
  for (const std::string& name : tcp_out_) {
    if (!names.contains(name)) change.shards.insert_or_assign(name, std::nullopt);
  }
  tcp_out_ = std::move(names);
}

void Translator::drop(Unit& unit) {
  switch (unit.kind) {
    case UnitKind::Item:
      materials_.drop(static_cast<ItemUnit&>(unit));
      break;
    case UnitKind::Policy:
      policies_.drop(static_cast<PolicyUnit&>(unit));
      break;
    case UnitKind::PolicyPort:
      policies_.drop(static_cast<PolicyPortUnit&>(unit));
      break;
    case UnitKind::Cluster:
      clusters_.drop(static_cast<ClusterUnit&>(unit));
      break;
    case UnitKind::Target:
      targets_.drop(unit);
      break;
    case UnitKind::Ingress:
      ingresses_.erase(ingresses_.find(*static_cast<IngressUnit&>(unit).key));
      break;
    case UnitKind::Host:
      hosts_.drop(static_cast<HostUnit&>(unit));
      break;
    case UnitKind::Rest:  // goes with its Ingress
    case UnitKind::Single:
      break;
  }
}

}  // namespace handfast::translate
