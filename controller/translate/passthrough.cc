#include "controller/translate/passthrough.h"

#include <cstddef>
#include <utility>

#include "controller/translate/operator_rules.h"
#include "controller/translate/services.h"

namespace handfast::translate {
namespace {

void refuse_below_floor(const PassthroughContext& context, const std::string& field,
                        config::StreamRoute& route) {
  if (!demands_tls(context.options, context.ingress.meta.ns)) return;
  keep_first(route.refused,
             context.report.refuse(Reason::BelowMinimum, field,
                                   "The operator's minimum asks for TLS to the Service that is "
                                   "verified here; with ssl-passthrough nothing is.",
                                   "Remove ssl-passthrough."));
}

void tell_policy(const PassthroughContext& context, const objects::ServiceBackend& backend,
                 const std::string& field) {
  const std::string& ns = context.ingress.meta.ns;
  const objects::Service* found = context.state.find_service(ns, backend.service);
  const auto choice =
      context.targets.find(ns, backend.service, port_name_of(found, backend.port), found);
  if (!choice) return;
  context.report.warn(Reason::Conflict, field,
                      choice->policy.text() +
                          " speaks of this Service, and has no effect on TLS that passes through.",
                      "Remove ssl-passthrough, or use a Service without a policy.");
}

void lead(const PassthroughContext& context, const objects::ServiceBackend& backend,
          const std::string& field, config::StreamRoute& route) {
  const Clusters::Lead cluster = context.service(backend);
  if (cluster.refused) {
    context.report.refuse(cluster.refused->reason, field, cluster.refused->detail,
                          std::string{remedy_of(*cluster.refused)});
  }
  route.service = cluster.name;
  refuse_below_floor(context, field, route);
  tell_policy(context, backend, field);
}

struct RootBackend {
  const objects::ServiceBackend* backend = nullptr;  // null: there is none
  std::string field;
};

RootBackend find_root(const PassthroughContext& context, const objects::IngressRule& rule,
                      const std::string& field) {
  RootBackend root;
  for (std::size_t i = 0; i < rule.paths.size(); ++i) {
    const objects::IngressPath& path = rule.paths[i];
    const std::string path_field = field + ".http.paths[" + std::to_string(i) + ']';
    const bool is_root = path.path.empty() || path.path == "/";
    if (is_root && root.backend == nullptr && path.backend.service) {
      root = {&*path.backend.service, path_field + ".backend.service"};
    } else {
      context.report.warn(Reason::InvalidValue, path_field,
                          "With ssl-passthrough only the path / of a host is used, and its "
                          "Service.",
                          "Remove this path.");
    }
  }
  return root;
}

}  // namespace

bool may_place(const objects::Ingress& ingress, bool passes, std::string_view host,
               const HostHead& head, const std::string& field, ObjectReport& report) {
  const std::string name = ingress.meta.ns + '/' + ingress.meta.name;
  if (head.passes == passes && (!passes || head.first_ingress == name)) return true;
  report.refuse(Reason::Conflict, field,
                "Ingress " + head.first_ingress + " came first, and with it TLS of host " +
                    quoted(host) + (head.passes ? " passes through" : " is ended here") +
                    "; this rule isn't used.",
                "Say the same of ssl-passthrough in both, or use another host.");
  return false;
}

config::StreamRoute make_passthrough(const PassthroughContext& context,
                                     const objects::IngressRule& rule, const std::string& field,
                                     const std::optional<config::Refusal>& refused) {
  config::StreamRoute route;
  route.ingress_namespace = context.ingress.meta.ns;
  route.ingress = context.ingress.meta.name;
  route.connect_timeout_ms = context.options.traffic.connect_timeout_ms;
  route.idle_timeout_ms = context.options.streams.idle_timeout_ms;
  route.retry = context.options.streams.retry;
  route.refused = refused;
  const RootBackend root = find_root(context, rule, field);
  const auto fault = root.backend == nullptr ? std::optional<std::string>("There is no path /.")
                                             : find_name_fault(*root.backend);
  if (fault) {
    keep_first(
        route.refused,
        context.report.refuse(Reason::InvalidValue, root.backend == nullptr ? field : root.field,
                              *fault, "Correct it; until then connections are closed."));
  } else {
    lead(context, *root.backend, root.field, route);
  }
  if (!context.ingress.tls.empty()) {
    context.report.info(Reason::Conflict, "spec.tls",
                        "With ssl-passthrough the Service shows its own certificate.",
                        "Remove it.");
  }
  return route;
}

}  // namespace handfast::translate
