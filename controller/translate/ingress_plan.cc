#include "controller/translate/ingress_plan.h"

#include "controller/translate/operator_rules.h"
#include "controller/translate/traffic.h"

namespace handfast::translate {
std::optional<config::Refusal> require_tls(const Options& options, const objects::Ingress& ingress,
                                           ObjectReport& report) {
  const Floor* floor = find_floor(options, ingress.meta.ns);
  if (floor == nullptr || floor->minimum == MinimumTls::None) return std::nullopt;
  return report.refuse(Reason::BelowMinimum, "metadata.annotations",
                       "The operator's minimum asks for TLS to the Service, and there is none.",
                       "Set backend-protocol to HTTPS, or to GRPCS for gRPC.");
}

IngressPlan make_plan(const objects::Ingress& ingress, const Options& options,
                      const BackendTls& backend_tls, ClientAuth& client_auth,
                      ObjectReport& report) {
  IngressPlan plan;
  const Annotations annotations{ingress};
  plan.refused = annotations.review(report);
  plan.redirect_with_tls =
      read_switch(annotations, "ssl-redirect", options.ssl_redirect, report, plan.refused);
  plan.redirect_always = read_switch(annotations, "force-ssl-redirect", options.force_ssl_redirect,
                                     report, plan.refused);
  plan.route.access_log = read_switch(annotations, "enable-access-log", true, report, plan.refused);
  plan.client = client_auth.plan(ingress, annotations, report, plan.refused);

  const auto protocol = read_protocol(annotations, report, plan.refused);
  plan.route.protocol = protocol.value_or(config::BackendProtocol::Http);
  plan.http2 = read_http2(annotations, plan.route.protocol, report, plan.refused);
  read_traffic(annotations, options.traffic, report, plan.refused, plan.route);
  if (protocol && !config::is_tls(*protocol)) {
    keep_first(plan.refused, backend_tls.check_unused(ingress, annotations, report));
  }
  return plan;
}

}  // namespace handfast::translate
