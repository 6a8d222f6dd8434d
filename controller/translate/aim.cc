#include "controller/translate/aim.h"

#include <utility>

#include "controller/translate/auth_settings.h"
#include "controller/translate/names.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/services.h"
#include "controller/translate/traffic.h"

namespace handfast::translate {
namespace {

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

}  // namespace

void Aim::aim(Work& work, const objects::ServiceBackend& backend, const std::string& field,
              config::Route& route) {
  if (auto fault = find_name_fault(backend)) {
    keep_first(route.refused, work.report.refuse(Reason::InvalidValue, field + ".service",
                                                 *std::move(fault), "Correct it."));
    return;
  }
  const std::string& ns = work.ingress.meta.ns;
  const Clusters::Lead cluster = parts_.clusters.lead(ns, backend);
  const bool first_time = work.aimed.told.insert(cluster.name).second;
  if (cluster.refused && first_time) {
    work.report.refuse(cluster.refused->reason, field + ".service", cluster.refused->detail,
                       std::string{remedy_of(*cluster.refused)});
  }
  route.service = cluster.name;
  const objects::Service* found = parts_.state.find_service(ns, backend.service);
  const std::string_view app_protocol =
      found == nullptr ? std::string_view{} : app_protocol_of(*found, backend.port);
  const auto choice =
      parts_.targets.find(ns, backend.service, port_name_of(found, backend.port), found);
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

void Aim::aim_auth(Work& work) {
  const AuthSettings settings{Annotations{work.ingress}};
  auto plan = parts_.auth_servers.plan(work.ingress.meta, settings, work.report, work.plan.refused);
  if (!plan) return;
  lead_to(*plan, parts_.clusters, work.report);
  if (plan->tls) add_policy(work, *std::move(plan->tls));
  work.plan.route.auth = std::move(plan->auth);
}

void Aim::add_policy(Work& work, config::UpstreamTls rules) {
  work.aimed.policies.insert(rules.name);
  parts_.operator_crls.add_to(rules);
  work.policies.push_back(std::move(rules));
}

void Aim::aim_by_annotations(Work& work, const objects::ServiceBackend& backend,
                             const objects::Service* found, config::Route& route) {
  if (!config::is_tls(route.protocol)) {
    if (!work.aimed.plain_judged) {
      work.aimed.plain_refused = require_tls(parts_.options, work.ingress, work.report);
      work.aimed.plain_judged = true;
    }
    keep_first(route.refused, work.aimed.plain_refused);
    return;
  }
  if (!work.plan.upstream) {
    work.plan.upstream =
        parts_.backend_tls.plan(work.ingress, Annotations{work.ingress}, work.report);
  }
  route.upstream_tls = work.ingress.meta.ns + '/' + work.ingress.meta.name + '/' + backend.service +
                       ':' + port_text(backend.port);
  if (work.aimed.policies.contains(route.upstream_tls)) return;
  add_policy(work, parts_.backend_tls.finish(*work.plan.upstream, work.ingress, backend, found,
                                             work.report));
}

std::optional<config::Http2> Aim::aim_by_policy(const PolicyTargets::Choice& choice,
                                                const objects::ServiceBackend& backend,
                                                const std::string& field, ObjectReport& report,
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
  const PolicyPlan& plan = parts_.policies.plan(choice.policy);
  const bool ingress_asks = config::is_tls(route.protocol);
  if (!plan.tls) {
    route.protocol = config::without_tls(route.protocol);
    keep_first(route.refused, plan.rules.refused);
    if (ingress_asks && !may_be_insecure(parts_.options, meta)) {
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
  route.upstream_tls = parts_.policies.use_port(choice.policy, backend);
  if (config::is_grpc(route.protocol)) return std::nullopt;
  return plan.http2;
}

void Aim::aim_stream(const std::string& ns, const objects::ServiceBackend& backend,
                     const std::string& field, ObjectReport& report, config::StreamRoute& route) {
  const Clusters::Lead cluster = parts_.clusters.lead(ns, backend);
  if (cluster.refused) {
    report.refuse(cluster.refused->reason, field, cluster.refused->detail,
                  std::string{remedy_of(*cluster.refused)});
  }
  route.service = cluster.name;
  const objects::Service* found = parts_.state.find_service(ns, backend.service);
  const auto choice =
      parts_.targets.find(ns, backend.service, port_name_of(found, backend.port), found);
  if (!choice) {
    if (!demands_tls(parts_.options, ns)) return;
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

void Aim::aim_default(const NamespacedName& ref, ObjectReport& report, config::Route& route) {
  objects::ServiceBackend backend{.service = ref.name, .port = {}};
  const objects::Service* found = parts_.state.find_service(ref.ns, ref.name);
  if (found != nullptr && !found->ports.empty()) backend.port.number = found->ports.front().port;
  if (backend.port.number == 0) backend.port.number = 80;

  const Clusters::Lead cluster = parts_.clusters.lead(ref.ns, backend);
  route.service = cluster.name;
  const auto choice =
      parts_.targets.find(ref.ns, ref.name, port_name_of(found, backend.port), found);
  if (choice) {
    const auto http2 = aim_by_policy(*choice, backend, "", report, route);
    route.http2 = http2.value_or(config::Http2::Off);
  } else if (demands_tls(parts_.options, ref.ns)) {
    route.refused = report.refuse(
        Reason::BelowMinimum, "",
        "The default backend is reached over HTTP; the minimum for its namespace asks for TLS.",
        "Put an exception for its namespace before it in --minimum-upstream-tls.");
  }
  if (cluster.refused && !route.refused) {
    report.refuse(cluster.refused->reason, "", cluster.refused->detail,
                  "Correct --default-backend-service.");
  }
}

}  // namespace handfast::translate
