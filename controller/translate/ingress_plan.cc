#include "controller/translate/ingress_plan.h"

#include <string_view>

#include "controller/translate/operator_rules.h"
#include "controller/translate/source_ranges.h"
#include "controller/translate/traffic.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kPassthrough = "ssl-passthrough";

bool read_passthrough(const Annotations& annotations, const Options& options, ObjectReport& report,
                      std::optional<config::Refusal>& refused) {
  if (!read_switch(annotations, kPassthrough, false, report, refused)) return false;
  if (options.enable_ssl_passthrough) return true;
  keep_first(refused,
             report.refuse(Reason::UnsupportedAnnotation, annotations.find(kPassthrough)->field(),
                           "The operator doesn't allow it.",
                           "Start the controller with --enable-ssl-passthrough, or remove "
                           "it; until then the routes of this Ingress answer 503."));
  return false;
}

// Nobody looks into the connection: what should keep clients out can't, and all else has no effect.
void tell_void(const Annotations& annotations, ObjectReport& report,
               std::optional<config::Refusal>& refused) {
  for (const Annotation& each : annotations.all()) {
    if (each.name == kPassthrough || each.row == nullptr) continue;
    if (each.row->what != AnnotationClass::Implemented) continue;  // told already
    if (each.name.starts_with("auth-")) {
      keep_first(refused,
                 report.refuse(Reason::InvalidValue, each.field(),
                               each.name.starts_with("auth-tls-")
                                   ? "With ssl-passthrough no certificate of a client is seen here."
                                   : "With ssl-passthrough no request is seen here that a server "
                                     "could be asked about.",
                               "Remove one of the two; until then connections are closed."));
    } else if (is_source_range(each.name)) {
      keep_first(refused, report.refuse(Reason::InvalidValue, each.field(),
                                        "With ssl-passthrough clients aren't told apart.",
                                        "Remove one of the two; until then connections are "
                                        "closed."));
    } else {
      report.warn(Reason::InvalidValue, each.field(), "With ssl-passthrough it has no effect.",
                  "Remove it.");
    }
  }
}

}  // namespace

std::optional<config::Refusal> require_tls(const Options& options, const objects::Ingress& ingress,
                                           ObjectReport& report) {
  if (!demands_tls(options, ingress.meta.ns)) return std::nullopt;
  return report.refuse(Reason::BelowMinimum, "metadata.annotations",
                       "The operator's minimum asks for TLS to the Service, and there is none.",
                       "Set backend-protocol to HTTPS, or to GRPCS for gRPC.");
}

bool passes_through(const objects::Ingress& ingress, const Options& options) {
  Report told_by_the_plan;
  ObjectReport report{told_by_the_plan, "Ingress", ingress.meta};
  std::optional<config::Refusal> refused;
  return read_passthrough(Annotations{ingress}, options, report, refused);
}

IngressPlan make_plan(const objects::Ingress& ingress, const Options& options,
                      const BackendTls& backend_tls, ClientAuth& client_auth,
                      ObjectReport& report) {
  IngressPlan plan;
  const Annotations annotations{ingress};
  plan.refused = annotations.review(report);
  plan.passthrough = read_passthrough(annotations, options, report, plan.refused);
  if (plan.passthrough) {
    tell_void(annotations, report, plan.refused);
    return plan;
  }
  keep_first(plan.refused, options.unenforced);
  plan.asks_global_auth =
      read_switch(annotations, "enable-global-auth", true, report, plan.refused) &&
      annotations.find("auth-url") == nullptr;
  plan.redirect_with_tls =
      read_switch(annotations, "ssl-redirect", options.ssl_redirect, report, plan.refused);
  plan.redirect_always = read_switch(annotations, "force-ssl-redirect", options.force_ssl_redirect,
                                     report, plan.refused);
  plan.route.access_log = read_switch(annotations, "enable-access-log", true, report, plan.refused);
  plan.route.sources = read_source_ranges(ingress, annotations, report, plan.refused);
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
