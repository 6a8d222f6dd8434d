#include "controller/translate/translate.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "controller/objects/names.h"
#include "controller/state/reader.h"
#include "controller/translate/auth_server.h"
#include "controller/translate/backend_tls.h"
#include "controller/translate/config_map.h"
#include "controller/translate/findings.h"
#include "controller/translate/front_tls.h"
#include "controller/translate/hosts_paths.h"
#include "controller/translate/ingress_class.h"
#include "controller/translate/ingress_plan.h"
#include "controller/translate/names.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/passthrough.h"
#include "controller/translate/policy_targets.h"
#include "controller/translate/secrets.h"
#include "controller/translate/services.h"
#include "controller/translate/tcp_services.h"
#include "controller/translate/traffic.h"
#include "controller/translate/upstream_policy.h"

namespace handfast::translate {
namespace {

// One Ingress that is ours, while its routes are being placed.
struct Work {
  Work(const objects::Ingress& of, Report& findings)
      : ingress(of), report(findings, "Ingress", of.meta) {}

  const objects::Ingress& ingress;
  ObjectReport report;
  IngressPlan plan;
  std::set<std::string> told;  // clusters whose absence was reported for this Ingress
  // Whether the operator allows a Service without TLS was asked; the answer.
  bool plain_judged = false;
  std::optional<config::Refusal> plain_refused;
};

// For a finding about an object that isn't there.
objects::Meta meta_of(const NamespacedName& ref) {
  objects::Meta meta;
  meta.ns = ref.ns;
  meta.name = ref.name;
  return meta;
}

// The annotations that a policy stands before.
void tell_overruled(Work& work, const PolicyRef& policy, const std::string& service) {
  const Annotations annotations{work.ingress};
  const Annotation* overruled = find_tls_annotation(annotations);
  if (overruled == nullptr) return;
  work.report.info(Reason::Conflict, overruled->field(),
                   policy.text() + " decides on TLS to Service " + service +
                       "; the annotations have no effect there.",
                   "Remove them, if no other Service needs them.");
}

class Translation {
 public:
  Translation(const state::ClusterState& state, const LastGood& last_good, const Options& options,
              std::int64_t now, MaterialCache& cache)
      : state_(state, asked_),
        settings_(read_config_map(state_, options, last_good.front, out_.report)),
        options_(settings_.options),
        classes_(state_, options_),
        materials_(state_, last_good, now, cache, out_.files, out_.items, out_.report),
        backend_tls_(options_, materials_, now),
        client_auth_(materials_),
        front_tls_(materials_),
        targets_(state_),
        upstream_policies_(state_, options_, materials_, now, out_.report),
        auth_servers_(state_, options_, backend_tls_, targets_, upstream_policies_) {}

  Output run();

 private:
  void add_ingress(const objects::Ingress& ingress);
  void add_auth(Work& work);
  void add_rule(Work& work, std::size_t index);
  void add_default_backend(Work& work);
  void add_operator_default();
  void add_default_certificate();
  void add_session_tickets();
  void add_tcp_ports();
  void aim_stream(const std::string& ns, const objects::ServiceBackend& backend,
                  const std::string& field, ObjectReport& report, config::StreamRoute& route);

  HostPlan& host(const std::string& name);
  HostPlan::Route make_route(Work& work, const PathRule& rule,
                             const objects::IngressBackend& backend, const std::string& field);
  void aim(Work& work, const objects::ServiceBackend& backend, const std::string& field,
           config::Route& route);
  void aim_by_annotations(Work& work, const objects::ServiceBackend& backend,
                          const objects::Service* found, config::Route& route);
  // Answers what the policy says about HTTP/2.
  std::optional<config::Http2> aim_by_policy(const PolicyTargets::Choice& choice,
                                             const objects::ServiceBackend& backend,
                                             const std::string& field, ObjectReport& report,
                                             config::Route& route);
  const config::Service& service(const std::string& ns, const objects::ServiceBackend& backend);
  void claim(Work& work, HostPlan& place, HostPlan::Route route, const std::string& field);
  void collect_shards();
  void collect_references();

  state::Reader::Book asked_;
  const state::Reader state_;
  Output out_;
  Settings settings_;
  const Options& options_;  // its
  ClassFilter classes_;
  Materials materials_;
  BackendTls backend_tls_;
  ClientAuth client_auth_;
  FrontTls front_tls_;
  PolicyTargets targets_;
  UpstreamPolicies upstream_policies_;
  AuthServers auth_servers_;
  std::deque<Work> works_;  // stable addresses: each refers to its own members
  std::map<std::string, HostPlan> hosts_;
  std::set<std::string> default_roots_;  // hosts whose "/" is a default backend
  std::map<std::string, config::Service> services_;
  std::map<std::string, config::UpstreamTls> policies_;
  std::vector<config::TcpPort> tcp_ports_;
};

Output Translation::run() {
  for (const objects::Ingress* ingress : state_.all().ingresses()) add_ingress(*ingress);
  // Explicit paths of any Ingress come before default backends of any other.
  for (Work& work : works_) {
    if (work.ingress.default_backend) add_default_backend(work);
  }
  if (options_.default_backend) add_operator_default();
  if (options_.default_certificate) add_default_certificate();
  if (options_.tcp_services) add_tcp_ports();
  targets_.tell(out_.report);
  for (const PolicyRef& policy : targets_.policies()) upstream_policies_.check(policy);
  if (options_.session_tickets) add_session_tickets();
  collect_shards();
  collect_references();
  std::stable_sort(out_.report.begin(), out_.report.end(), [](const Finding& a, const Finding& b) {
    return std::tie(a.object, a.field) < std::tie(b.object, b.field);
  });
  return std::move(out_);
}

void Translation::add_ingress(const objects::Ingress& ingress) {
  if (!objects::is_dns_label(ingress.meta.ns) || !objects::is_dns_subdomain(ingress.meta.name)) {
    ObjectReport{out_.report, "Ingress", ingress.meta}.refuse(
        Reason::BadObject, "metadata.name", "Its name or namespace is no Kubernetes name.",
        "Use lower-case letters, digits and '-'.");
    return;
  }
  if (ObjectReport report{out_.report, "Ingress", ingress.meta};
      !classes_.is_ours(ingress, report)) {
    return;
  }
  Work& work = works_.emplace_back(ingress, out_.report);
  work.plan = make_plan(ingress, options_, backend_tls_, client_auth_, work.report);
  add_auth(work);
  for (std::size_t i = 0; i < ingress.rules.size(); ++i) add_rule(work, i);
  if (!ingress.rules.empty()) return;
  if (ingress.default_backend) {
    HostPlan& place = host("");
    front_tls_.decide(ingress, place.shard, place.certificate_owners, work.report);
    client_auth_.decide(ingress, work.plan.client, place.shard, place.client_owner, work.report);
  } else {
    work.report.warn(Reason::BadObject, "spec", "It has neither rules nor a default backend.",
                     "Add one of them.");
  }
}

void Translation::add_auth(Work& work) {
  auto plan =
      auth_servers_.plan(work.ingress, Annotations{work.ingress}, work.report, work.plan.refused);
  if (!plan) return;
  if (plan->backend) {
    const config::Service& cluster = service(plan->ns, *plan->backend);
    if (cluster.refused) {
      work.report.refuse(cluster.refused->reason, plan->field, cluster.refused->detail,
                         std::string{remedy_of(*cluster.refused)});
    }
  } else {
    services_.try_emplace(plan->outside->name, *plan->outside);
  }
  if (plan->tls) policies_.insert_or_assign(plan->tls->name, *plan->tls);
  work.plan.route.auth = std::move(plan->auth);
}

void Translation::add_rule(Work& work, std::size_t index) {
  const objects::IngressRule& rule = work.ingress.rules[index];
  const std::string field = "spec.rules[" + std::to_string(index) + ']';
  const std::string name = to_lower(rule.host);
  if (!name.empty() && !is_host(name)) {
    work.report.refuse(Reason::InvalidValue, field + ".host",
                       quoted(rule.host) + " is not a host name; the rule isn't used.",
                       "Write a DNS name, or \"*.\" and a DNS name.");
    return;
  }
  if (work.plan.passthrough && name.empty()) {
    work.report.refuse(Reason::InvalidValue, field + ".host",
                       "Without a host no TLS can pass through; the rule isn't used.",
                       "Name the host, or remove ssl-passthrough.");
    return;
  }
  HostPlan& place = host(name);
  if (!claim_host(work.ingress, work.plan.passthrough, place, field + ".host", work.report)) return;
  if (work.plan.passthrough) {
    const auto lead = [this, &work](const objects::ServiceBackend& backend) -> auto& {
      return service(work.ingress.meta.ns, backend);
    };
    auto route = make_passthrough({work.ingress, options_, state_, targets_, lead, work.report},
                                  rule, field, work.plan.refused);
    if (!place.shard.passthrough) place.shard.passthrough = std::move(route);
    return;
  }
  front_tls_.decide(work.ingress, place.shard, place.certificate_owners, work.report);
  client_auth_.decide(work.ingress, work.plan.client, place.shard, place.client_owner, work.report);
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
    claim(work, place, make_route(work, *path_rule, path.backend, path_field + ".backend"),
          path_field + ".path");
  }
}

void Translation::add_default_backend(Work& work) {
  if (work.plan.passthrough) {
    work.report.warn(Reason::InvalidValue, "spec.defaultBackend",
                     "With ssl-passthrough only the path / of a host is used.", "Remove it.");
    return;
  }
  std::set<std::string> names;
  if (work.ingress.rules.empty()) names.insert("");
  for (const objects::IngressRule& rule : work.ingress.rules) {
    const std::string name = to_lower(rule.host);
    if (name.empty() || is_host(name)) names.insert(name);
  }
  const PathRule root{.path = "/", .type = config::PathType::Prefix};
  for (const std::string& name : names) {
    HostPlan& place = host(name);
    if (place.passes) continue;
    // With rules of its own it takes what they, or another's, leave over.
    const bool taken = place.routes.contains({root.path, root.type});
    if (taken && !work.ingress.rules.empty() && !default_roots_.contains(name)) continue;
    default_roots_.insert(name);
    claim(work, place, make_route(work, root, *work.ingress.default_backend, "spec.defaultBackend"),
          "spec.defaultBackend");
  }
}

// ingress-nginx gives every host an implicit "/" that leads to the operator's default backend.
void Translation::add_operator_default() {
  const NamespacedName& ref = *options_.default_backend;
  objects::ServiceBackend backend{.service = ref.name, .port = {}};
  const objects::Service* found = state_.find_service(ref.ns, ref.name);
  if (found != nullptr && !found->ports.empty()) backend.port.number = found->ports.front().port;
  if (backend.port.number == 0) backend.port.number = 80;

  const config::Service& cluster = service(ref.ns, backend);
  HostPlan::Route route;
  route.route.path = "/";
  route.route.ingress_namespace = ref.ns;
  route.route.service = cluster.name;
  route.redirect_with_tls = options_.ssl_redirect;
  route.redirect_always = options_.force_ssl_redirect;
  apply_defaults(options_.traffic, route.route);
  const objects::Meta absent = meta_of(ref);
  ObjectReport report{out_.report, "Service", found == nullptr ? absent : found->meta};
  const auto choice = targets_.find(ref.ns, ref.name, port_name_of(found, backend.port), found);
  if (choice) {
    const auto http2 = aim_by_policy(*choice, backend, "", report, route.route);
    route.route.http2 = http2.value_or(config::Http2::Off);
  } else if (demands_tls(options_, ref.ns)) {
    route.route.refused = report.refuse(
        Reason::BelowMinimum, "",
        "The default backend is reached over HTTP; the minimum for its namespace asks for TLS.",
        "Put an exception for its namespace before it in --minimum-upstream-tls.");
  }
  if (cluster.refused && !route.route.refused) {
    report.refuse(cluster.refused->reason, "", cluster.refused->detail,
                  "Correct --default-backend-service.");
  }
  host("");
  for (auto& [name, place] : hosts_) {
    if (!place.passes) static_cast<void>(place.claim(route));
  }
}

void Translation::add_default_certificate() {
  const NamespacedName& ref = *options_.default_certificate;
  const ItemKey key{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::KeyPair};
  const Item& item = materials_.find(key);
  if (item.usable()) {
    out_.default_certificate = materials_.use_pair(key, Materials::Side::Front);
  } else if (item.state == Item::State::Absent) {
    const objects::Meta meta = meta_of(ref);
    ObjectReport{out_.report, "Secret", meta}.warn(
        Reason::FrontCertificate, "data[tls.crt]",
        "The default certificate isn't there; a self-signed one is used.",
        "Create the Secret with tls.crt and tls.key, or correct --default-ssl-certificate.");
  }
}

void Translation::add_session_tickets() {
  const NamespacedName& ref = *options_.session_tickets;
  const ItemKey key{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::TicketKeys};
  const Item& item = materials_.find(key);
  if (item.usable()) {
    settings_.front.ticket_keys = {materials_.use_file(key)};
  } else if (item.state == Item::State::Absent) {
    const objects::Meta meta = meta_of(ref);
    ObjectReport{out_.report, "Secret", meta}.warn(
        Reason::SecretMissing, "data[ticket.key]",
        "The session ticket key isn't there; tickets are made with keys that nobody else knows.",
        "Create the Secret with 48 or 80 random bytes, or correct --session-ticket-secret.");
  }
}

void Translation::add_tcp_ports() {
  const NamespacedName& ref = *options_.tcp_services;
  const objects::ConfigMap* map = state_.find_config_map(ref.ns, ref.name);
  if (map == nullptr) {
    const objects::Meta absent = meta_of(ref);
    ObjectReport{out_.report, "ConfigMap", absent}.warn(
        Reason::BadObject, "data", "The ConfigMap of TCP services isn't there.",
        "Create it, or correct --tcp-services-configmap.");
    return;
  }
  tcp_ports_ = make_tcp_ports(
      *map, options_, materials_, out_.report,
      [this](const std::string& ns, const objects::ServiceBackend& backend,
             const std::string& field, ObjectReport& report,
             config::StreamRoute& route) { aim_stream(ns, backend, field, report, route); });
}

// As routes are led to their Services, but that the policy alone speaks of TLS.
void Translation::aim_stream(const std::string& ns, const objects::ServiceBackend& backend,
                             const std::string& field, ObjectReport& report,
                             config::StreamRoute& route) {
  const config::Service& cluster = service(ns, backend);
  if (cluster.refused) {
    report.refuse(cluster.refused->reason, field, cluster.refused->detail,
                  std::string{remedy_of(*cluster.refused)});
  }
  route.service = cluster.name;
  const objects::Service* found = state_.find_service(ns, backend.service);
  const auto choice = targets_.find(ns, backend.service, port_name_of(found, backend.port), found);
  if (!choice) {
    if (!demands_tls(options_, ns)) return;
    keep_first(
        route.refused,
        report.refuse(Reason::BelowMinimum, field,
                      "The operator's minimum asks for TLS to the Service, and there is none.",
                      "Target the Service by an UpstreamTLSPolicy."));
    return;
  }
  config::Route by_policy;
  aim_by_policy(*choice, backend, field, report, by_policy);
  route.upstream_tls = by_policy.upstream_tls;
  keep_first(route.refused, std::move(by_policy.refused));
}

HostPlan& Translation::host(const std::string& name) {
  const auto [place, added] = hosts_.try_emplace(name);
  if (added) place->second.shard.host = name;
  return place->second;
}

HostPlan::Route Translation::make_route(Work& work, const PathRule& rule,
                                        const objects::IngressBackend& backend,
                                        const std::string& field) {
  HostPlan::Route out{.route = work.plan.route,
                      .redirect_with_tls = work.plan.redirect_with_tls,
                      .redirect_always = work.plan.redirect_always,
                      .client = &work.plan.client};
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
  aim(work, *backend.service, field, route);
  return out;
}

void Translation::aim(Work& work, const objects::ServiceBackend& backend, const std::string& field,
                      config::Route& route) {
  if (auto fault = find_name_fault(backend)) {
    keep_first(route.refused, work.report.refuse(Reason::InvalidValue, field + ".service",
                                                 *std::move(fault), "Correct it."));
    return;
  }
  const std::string& ns = work.ingress.meta.ns;
  const config::Service& cluster = service(ns, backend);
  const bool first_time = work.told.insert(cluster.name).second;
  if (cluster.refused && first_time) {
    work.report.refuse(cluster.refused->reason, field + ".service", cluster.refused->detail,
                       std::string{remedy_of(*cluster.refused)});
  }
  route.service = cluster.name;
  const objects::Service* found = state_.find_service(ns, backend.service);
  const std::string_view app_protocol =
      found == nullptr ? std::string_view{} : app_protocol_of(*found, backend.port);
  const auto choice = targets_.find(ns, backend.service, port_name_of(found, backend.port), found);
  std::optional<config::Http2> http2;
  if (choice) {
    if (first_time && config::is_tls(route.protocol)) {
      tell_overruled(work, choice->policy, backend.service);
    }
    http2 = aim_by_policy(*choice, backend, field + ".service", work.report, route);
  } else {
    aim_by_annotations(work, backend, found, route);
  }
  route.http2 = http2.value_or(choose_http2(route.protocol, work.plan.http2, app_protocol));
  if (first_time) tell_contradiction(route, app_protocol, field + ".service", work.report);
}

void Translation::aim_by_annotations(Work& work, const objects::ServiceBackend& backend,
                                     const objects::Service* found, config::Route& route) {
  if (!config::is_tls(route.protocol)) {
    if (!work.plain_judged) {
      work.plain_refused = require_tls(options_, work.ingress, work.report);
      work.plain_judged = true;
    }
    keep_first(route.refused, work.plain_refused);
    return;
  }
  if (!work.plan.upstream) {
    work.plan.upstream = backend_tls_.plan(work.ingress, Annotations{work.ingress}, work.report);
  }
  route.upstream_tls = work.ingress.meta.ns + '/' + work.ingress.meta.name + '/' + backend.service +
                       ':' + port_text(backend.port);
  if (!policies_.contains(route.upstream_tls)) {
    policies_.emplace(route.upstream_tls, backend_tls_.finish(*work.plan.upstream, work.ingress,
                                                              backend, found, work.report));
  }
}

std::optional<config::Http2> Translation::aim_by_policy(const PolicyTargets::Choice& choice,
                                                        const objects::ServiceBackend& backend,
                                                        const std::string& field,
                                                        ObjectReport& report,
                                                        config::Route& route) {
  const objects::Meta& meta = choice.policy.meta();
  if (!choice.missing_section.empty()) {
    // The policy is told of it.
    keep_first(route.refused,
               config::Refusal{Reason::PortMissing, choice.policy.text() +
                                                        ": the Service has no port named " +
                                                        quoted(choice.missing_section) + '.'});
    return std::nullopt;
  }
  const PolicyPlan& plan = upstream_policies_.plan(choice.policy);
  const bool ingress_asks = config::is_tls(route.protocol);
  if (!plan.tls) {
    route.protocol = config::without_tls(route.protocol);
    keep_first(route.refused, plan.rules.refused);
    if (ingress_asks && !may_be_insecure(options_, meta)) {
      keep_first(route.refused, report.refuse(Reason::NotPermitted, field,
                                              choice.policy.text() +
                                                  " turns TLS off, and this Ingress asks for it.",
                                              "Change one of the two, or start the controller with "
                                              "--allow-insecure-upstream=" +
                                                  meta.ns + '/' + meta.name + '.'));
    }
    return std::nullopt;
  }
  route.protocol = config::with_tls(route.protocol);
  if (plan.http2 == config::Http2::Off && config::is_grpc(route.protocol)) {
    keep_first(route.refused,
               report.refuse(Reason::InvalidValue, field,
                             choice.policy.text() + " has no h2 in alpn, which gRPC needs.",
                             "Add h2 there, or change backend-protocol."));
  }
  route.upstream_tls = policy_shard_name(choice.policy, backend);
  if (!policies_.contains(route.upstream_tls)) {
    config::UpstreamTls rules = plan.rules;
    rules.name = route.upstream_tls;
    policies_.emplace(route.upstream_tls, std::move(rules));
  }
  if (config::is_grpc(route.protocol)) return std::nullopt;
  return plan.http2;
}

const config::Service& Translation::service(const std::string& ns,
                                            const objects::ServiceBackend& backend) {
  std::string name = cluster_name(ns, backend);
  const auto known = services_.find(name);
  if (known != services_.end()) return known->second;
  return services_.emplace(std::move(name), make_service(state_, ns, backend, out_.report))
      .first->second;
}

void Translation::claim(Work& work, HostPlan& place, HostPlan::Route route,
                        const std::string& field) {
  const std::string path = route.route.path;
  const std::string cluster = route.route.service;
  const config::Route* winner = place.claim(std::move(route));
  if (winner == nullptr) return;
  const bool own = winner->ingress_namespace == work.ingress.meta.ns &&
                   winner->ingress == work.ingress.meta.name;
  const std::string at = quoted(path) + " of host " + quoted(place.shard.host);
  if (own && winner->service == cluster) {
    work.report.info(Reason::Conflict, field, at + " stands in this Ingress twice.",
                     "Keep one of the two.");
    return;
  }
  work.report.warn(Reason::Conflict, field,
                   at + " is already served by Ingress " + winner->ingress_namespace + '/' +
                       winner->ingress + "; this one isn't used.",
                   "Remove one of the two.");
}

void Translation::collect_shards() {
  std::vector<std::pair<std::string, config::Shard>> named;
  named.reserve(hosts_.size() + services_.size() + policies_.size());
  const auto add = [&named](config::Shard shard) {
    std::string name = config::shard_name(shard);
    named.emplace_back(std::move(name), std::move(shard));
  };
  OperatorCrls operator_crls{state_, materials_, out_.report};
  for (auto& [name, plan] : hosts_) {
    if (plan.shard.client) operator_crls.add_to(*plan.shard.client);
    add(finish_host(std::move(plan)));
  }
  for (auto& [name, cluster] : services_) add(std::move(cluster));
  for (auto& [name, policy] : policies_) {
    operator_crls.add_to(policy);
    add(std::move(policy));
  }
  for (config::TcpPort& port : tcp_ports_) add(std::move(port));
  out_.items.front = settings_.front;
  if (settings_.front != config::Front{}) add(std::move(settings_.front));
  std::sort(named.begin(), named.end(),
            [](const auto& left, const auto& right) { return left.first < right.first; });
  out_.shards.reserve(named.size());
  for (auto& [name, shard] : named) out_.shards.push_back(std::move(shard));
}

void Translation::collect_references() {
  for (const objects::ObjectKey& key : asked_) {
    // The directory of --crl-dir is known as a ConfigMap in no namespace, and is none.
    const bool holds_data = key.kind == "Secret" || (key.kind == "ConfigMap" && !key.ns.empty());
    if (holds_data) out_.references.insert(key);
  }
}

}  // namespace

Output translate(const state::ClusterState& state, const LastGood& last_good,
                 const Options& options, std::int64_t now, MaterialCache* cache) {
  MaterialCache own_cache;
  MaterialCache& used = cache == nullptr ? own_cache : *cache;
  used.begin_run();
  Output out = Translation{state, last_good, options, now, used}.run();
  used.end_run();
  return out;
}

}  // namespace handfast::translate
