#include "controller/translate/ingress_unit.h"

#include <utility>

#include "controller/objects/names.h"
#include "controller/translate/acme.h"
#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

// A rule's host as a key; nothing: it is no host name, or none where one is needed.
std::optional<std::string> host_of(const objects::IngressRule& rule, bool passes) {
  std::string name = to_lower(rule.host);
  if (name.empty() ? passes : !is_host(name)) return std::nullopt;
  return name;
}

bool has_kubernetes_name(const objects::Ingress& ingress) {
  return objects::is_dns_label(ingress.meta.ns) && objects::is_dns_subdomain(ingress.meta.name);
}

std::shared_ptr<const ClientPlan> share(const ClientPlan& plan) {
  static const auto kNothing = std::make_shared<const ClientPlan>();
  return plan == *kNothing ? kNothing : std::make_shared<const ClientPlan>(plan);
}

SortedSet<std::string> names_of(const std::vector<config::UpstreamTls>& policies) {
  SortedSet<std::string> names;
  for (const auto& policy : policies) names.insert(policy.name);
  return names;
}

}  // namespace

void IngressWorker::look(const state::ClusterState& state, IngressUnit& unit) const {
  state::NoBook book;
  unit.is_there = unit.passes = unit.has_rules = false;
  unit.hosts.clear();
  const objects::Ingress* ingress = state.find_ingress(unit.key->ns, unit.key->name);
  if (ingress == nullptr || !has_kubernetes_name(*ingress)) return;
  Report told_by_work;
  ObjectReport report{told_by_work, "Ingress", ingress->meta};
  const state::Reader reader{state, book};
  if (!ClassFilter{reader, parts_.options}.is_ours(*ingress, report)) return;
  unit.is_there = true;
  unit.passes = passes_through(*ingress, parts_.options);
  unit.has_rules = !ingress->rules.empty();
  unit.order = {ingress->meta.creation_timestamp, ingress->meta.ns + '/' + ingress->meta.name};
  for (const objects::IngressRule& rule : ingress->rules) {
    if (auto host = host_of(rule, unit.passes)) unit.hosts.insert(*std::move(host));
  }
  if (ingress->rules.empty() && ingress->default_backend) unit.hosts.insert("");
}

void IngressWorker::work(IngressUnit& unit) {
  Tracer::Scope scope{parts_.tracer, unit};
  unit.client.reset();
  if (unit.rest != nullptr) unit.rest->plan.reset();
  unit.placements.clear();
  unit.roots.clear();
  unit.fresh.clear();
  unit.shards.clear();
  const objects::Ingress* ingress = parts_.state.find_ingress(unit.key->ns, unit.key->name);
  if (ingress == nullptr) return;
  ObjectReport report{scope.findings(), "Ingress", ingress->meta};
  if (!has_kubernetes_name(*ingress)) {
    report.refuse(Reason::BadObject, "metadata.name",
                  "Its name or namespace is no Kubernetes name.",
                  "Use lower-case letters, digits and '-'.");
    return;
  }
  if (!parts_.classes.is_ours(*ingress, report)) return;
  IngressPlan plan =
      make_plan(*ingress, parts_.options, parts_.backend_tls, parts_.client_auth, report);
  unit.client = share(plan.client);
  Aimed aimed;
  Work work{*ingress, report, plan, *unit.client, aimed, unit.fresh};
  if (!plan.passthrough) parts_.aim.aim_auth(work);
  for (std::size_t i = 0; i < ingress->rules.size(); ++i) place_rule(work, i, unit);
  if (ingress->rules.empty() && ingress->default_backend) {
    unit.placements.emplace_back();
  } else if (ingress->rules.empty()) {
    report.warn(Reason::BadObject, "spec", "It has neither rules nor a default backend.",
                "Add one of them.");
  }
  unit.shards = names_of(unit.fresh);
  if (!ingress->default_backend) return;
  if (unit.rest == nullptr) unit.rest = std::make_unique<RestUnit>(unit);
  unit.rest->plan = std::make_unique<const IngressPlan>(std::move(plan));
  unit.rest->aimed = std::move(aimed);
}

void IngressWorker::place_rule(Work& work, std::size_t index, IngressUnit& unit) {
  const objects::IngressRule& rule = work.ingress.rules[index];
  const std::string field = "spec.rules[" + std::to_string(index) + ']';
  const auto host = host_of(rule, work.plan.passthrough);
  if (!host && rule.host.empty()) {
    work.report.refuse(Reason::InvalidValue, field + ".host",
                       "Without a host no TLS can pass through; the rule isn't used.",
                       "Name the host, or remove ssl-passthrough.");
    return;
  }
  if (!host) {
    work.report.refuse(Reason::InvalidValue, field + ".host",
                       quoted(rule.host) + " is not a host name; the rule isn't used.",
                       "Write a DNS name, or \"*.\" and a DNS name.");
    return;
  }
  if (!may_place(work.ingress, work.plan.passthrough, *host, parts_.hosts.find_head(*host),
                 field + ".host", work.report)) {
    return;
  }
  Placement& place = unit.placements.emplace_back();
  place.host = *host;
  if (work.plan.passthrough) {
    const auto lead = [this, &work](const objects::ServiceBackend& backend) {
      return parts_.clusters.lead(work.ingress.meta.ns, backend);
    };
    place.passthrough = make_passthrough(
        {work.ingress, parts_.options, parts_.state, parts_.targets, lead, work.report}, rule,
        field, work.plan.refused);
    return;
  }
  for (std::size_t j = 0; j < rule.paths.size(); ++j) {
    const objects::IngressPath& path = rule.paths[j];
    const std::string path_field = field + ".http.paths[" + std::to_string(j) + ']';
    auto path_rule = make_path_rule(path);
    if (!path_rule) {
      work.report.refuse(Reason::InvalidValue, path_field + ".path", path_rule.error().detail,
                         "Correct the path; it isn't served.");
      continue;
    }
    if (std::string doubt = find_path_doubt(path); !doubt.empty()) {
      work.report.warn(Reason::InvalidValue, path_field + ".path", std::move(doubt),
                       "Correct the path, if that isn't meant.");
    }
    if (*path_rule == root_path()) unit.roots.insert(*host);
    place.claims.push_back({make_route(work, *path_rule, path.backend, path_field + ".backend"),
                            path_field + ".path"});
  }
}

void IngressWorker::work(RestUnit& unit) {
  Tracer::Scope scope{parts_.tracer, unit};
  unit.placements.clear();
  unit.fresh.clear();
  unit.shards.clear();
  const IngressUnit& of = *unit.of;
  const objects::Ingress* ingress = parts_.state.find_ingress(of.key->ns, of.key->name);
  if (unit.plan == nullptr || ingress == nullptr || !ingress->default_backend) return;
  ObjectReport report{scope.findings(), "Ingress", ingress->meta};
  if (unit.plan->passthrough) {
    report.warn(Reason::InvalidValue, "spec.defaultBackend",
                "With ssl-passthrough only the path / of a host is used.", "Remove it.");
    return;
  }
  // What the rules brought up is known, and told, already.
  IngressPlan plan = *unit.plan;
  Aimed aimed = unit.aimed;
  Work work{*ingress, report, plan, *of.client, aimed, unit.fresh};
  for (const std::string& name : of.hosts) {
    if (parts_.hosts.find_head(name).passes) continue;
    // With rules of its own it takes what they, or another's, leave over.
    if (!ingress->rules.empty() && parts_.hosts.has_root(name)) continue;
    Placement& place = unit.placements.emplace_back();
    place.host = name;
    place.claims.push_back(
        {make_route(work, root_path(), *ingress->default_backend, "spec.defaultBackend"),
         "spec.defaultBackend"});
  }
  unit.shards = names_of(unit.fresh);
}

HostPlan::Route IngressWorker::make_route(Work& work, const PathRule& rule,
                                          const objects::IngressBackend& backend,
                                          const std::string& field) {
  HostPlan::Route out{.route = work.plan.route,
                      .redirect_with_tls = work.plan.redirect_with_tls,
                      .redirect_always = work.plan.redirect_always,
                      .client = &work.client};
  config::Route& route = out.route;
  route.path = rule.path;
  route.type = rule.type;
  route.ingress_namespace = work.ingress.meta.ns;
  route.ingress = work.ingress.meta.name;
  route.refused = work.plan.refused;
  if (!backend.service) {
    route.refused = work.report.refuse(Reason::NoRoute, field,
                                       "Backends of the kind `resource` aren't served; it "
                                       "answers 404.",
                                       "Name a Service.");
    return out;
  }
  const objects::Meta& meta = work.ingress.meta;
  if (work.plan.asks_global_auth && !is_acme_solver(meta, rule.path, backend.service->service)) {
    parts_.global_auth.apply(meta.ns, work.report, work.aimed.global_auth_told, route);
  }
  parts_.aim.aim(work, *backend.service, field, route);
  return out;
}

}  // namespace handfast::translate
