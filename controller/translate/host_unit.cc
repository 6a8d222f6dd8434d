#include "controller/translate/host_unit.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace handfast::translate {
namespace {

objects::ObjectKey head_topic(const std::string& host) { return {"head of host", {}, host}; }
objects::ObjectKey root_topic(const std::string& host) { return {"root of host", {}, host}; }

}  // namespace

HostUnit& Hosts::unit_of(const std::string& name) {
  const auto [found, added] = hosts_.try_emplace(name);
  if (added) found->second.name = &found->first;
  return found->second;
}

const HostHead& Hosts::find_head(const std::string& host) {
  parts_.tracer.on_asked(head_topic(host));
  return hosts_.at(host).head;
}

bool Hosts::has_root(const std::string& host) {
  parts_.tracer.on_asked(root_topic(host));
  return hosts_.at(host).roots != 0;
}

void Hosts::take_out(const IngressUnit& ingress) {
  for (const std::string& name : ingress.hosts) {
    HostUnit& host = hosts_.at(name);
    heads_before_.try_emplace(name, host.head);
    host.ingresses.erase(&ingress);
    parts_.tracer.mark(host);
  }
}

void Hosts::put_in(IngressUnit& ingress) {
  for (const std::string& name : ingress.hosts) {
    HostUnit& host = unit_of(name);
    heads_before_.try_emplace(name, host.head);
    host.ingresses.insert(&ingress);
    parts_.tracer.mark(host);
  }
}

void Hosts::settle_heads() {
  for (const auto& [name, before] : std::exchange(heads_before_, {})) {
    HostUnit& host = hosts_.at(name);
    // One without rules has a host and decides nothing about it.
    const auto first = std::ranges::find_if(
        host.ingresses, [](const IngressUnit* each) { return each->has_rules; });
    host.head = first == host.ingresses.end() ? HostHead{}
                                              : HostHead{(*first)->order.name, (*first)->passes};
    if (host.head != before) parts_.tracer.touch(head_topic(name));
  }
}

void Hosts::take_roots(const IngressUnit& ingress) {
  for (const std::string& name : ingress.roots) {
    HostUnit& host = hosts_.at(name);
    roots_before_.try_emplace(name, host.roots != 0);
    --host.roots;
  }
}

void Hosts::put_roots(const IngressUnit& ingress) {
  for (const std::string& name : ingress.roots) {
    HostUnit& host = hosts_.at(name);
    roots_before_.try_emplace(name, host.roots != 0);
    ++host.roots;
  }
}

void Hosts::settle_roots() {
  for (const auto& [name, before] : std::exchange(roots_before_, {})) {
    if ((hosts_.at(name).roots != 0) != before) parts_.tracer.touch(root_topic(name));
  }
}

void Hosts::mark(const IngressUnit& ingress) {
  for (const std::string& name : ingress.hosts) parts_.tracer.mark(hosts_.at(name));
}

void Hosts::set_default(std::optional<HostPlan::Route> route) {
  default_ = std::move(route);
  if (default_) unit_of("");
  mark_everything();
}

void Hosts::mark_everything() {
  for (auto& [name, host] : hosts_) parts_.tracer.mark(host);
}

bool Hosts::is_used(const HostUnit& unit) const {
  return !unit.ingresses.empty() || (unit.name->empty() && default_);
}

void Hosts::refresh() {
  for (Unit* each : parts_.tracer.take_dirty(UnitKind::Host)) {
    auto& unit = static_cast<HostUnit&>(*each);
    Tracer::Scope scope{parts_.tracer, unit};
    unit.fresh.reset();
    if (is_used(unit)) assemble(unit, scope.findings());
  }
}

void Hosts::assemble(HostUnit& unit, Report& findings) {
  HostPlan plan;
  plan.shard.host = *unit.name;
  for (const IngressUnit* const ingress : unit.ingresses) {
    for (const Placement& each : ingress->placements) {
      if (each.host == *unit.name) place(*ingress, each, plan, findings);
    }
  }
  // Explicit paths of any Ingress come before default backends of any other.
  for (const IngressUnit* const ingress : unit.ingresses) {
    if (ingress->rest == nullptr) continue;
    for (const Placement& each : ingress->rest->placements) {
      if (each.host != *unit.name) continue;
      const auto* object = parts_.state.find_ingress(ingress->key->ns, ingress->key->name);
      ObjectReport report{findings, "Ingress", object->meta};
      for (const Claim& one : each.claims) claim(*object, one, plan, report);
    }
  }
  // ingress-nginx gives every host an implicit "/" that leads to the operator's default backend.
  if (default_ && !unit.head.passes) static_cast<void>(plan.claim(*default_));
  if (plan.shard.client) parts_.operator_crls.add_to(*plan.shard.client);
  unit.fresh = finish_host(std::move(plan));
}

void Hosts::place(const IngressUnit& ingress, const Placement& placement, HostPlan& plan,
                  Report& findings) {
  if (placement.passthrough) {
    if (!plan.shard.passthrough) plan.shard.passthrough = placement.passthrough;
    return;
  }
  const auto* object = parts_.state.find_ingress(ingress.key->ns, ingress.key->name);
  ObjectReport report{findings, "Ingress", object->meta};
  parts_.front_tls.decide(*object, plan.shard, plan.certificate_owners, report);
  parts_.client_auth.decide(*object, *ingress.client, plan.shard, plan.client_owner, report);
  for (const Claim& one : placement.claims) claim(*object, one, plan, report);
}

void Hosts::claim(const objects::Ingress& ingress, const Claim& claim, HostPlan& plan,
                  ObjectReport& report) {
  const config::Route* winner = plan.claim(claim.route);
  if (winner == nullptr) return;
  const config::Route& route = claim.route.route;
  const bool own =
      winner->ingress_namespace == ingress.meta.ns && winner->ingress == ingress.meta.name;
  const std::string at = quoted(route.path) + " of host " + quoted(plan.shard.host);
  if (own && winner->service == route.service) {
    report.info(Reason::Conflict, claim.field, at + " stands in this Ingress twice.",
                "Keep one of the two.");
    return;
  }
  report.warn(Reason::Conflict, claim.field,
              at + " is already served by Ingress " + winner->ingress_namespace + '/' +
                  winner->ingress + "; this one isn't used.",
              "Remove one of the two.");
}

}  // namespace handfast::translate
