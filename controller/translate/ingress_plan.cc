#include "controller/translate/ingress_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

std::optional<config::BackendProtocol> read_protocol(const Annotations& annotations,
                                                     ObjectReport& report,
                                                     std::optional<config::Refusal>& refused) {
  constexpr std::array<std::string_view, 4> kUnsupported{"grpc", "grpcs", "auto_http", "fcgi"};
  const Annotation* found = annotations.find("backend-protocol");
  if (found == nullptr) return config::BackendProtocol::Http;

  const std::string value = found->value.size() <= 16 ? to_lower(found->value) : std::string{};
  if (value == "http") return config::BackendProtocol::Http;
  if (value == "https") return config::BackendProtocol::Https;
  const bool known =
      std::find(kUnsupported.begin(), kUnsupported.end(), value) != kUnsupported.end();
  keep_first(
      refused,
      known ? report.refuse(Reason::UnsupportedAnnotation, found->field(),
                            quoted(found->value) + " is not implemented.", "Use HTTP or HTTPS.")
            : report.refuse(Reason::InvalidValue, found->field(),
                            quoted(found->value) + " is not a protocol.", "Write HTTP or HTTPS."));
  return std::nullopt;
}

void require_tls(const Options& options, const objects::Ingress& ingress, ObjectReport& report,
                 std::optional<config::Refusal>& refused) {
  const Floor* floor = find_floor(options, ingress.meta.ns);
  if (floor == nullptr || floor->minimum == MinimumTls::None) return;
  keep_first(refused,
             report.refuse(Reason::BelowMinimum, "metadata.annotations",
                           "The operator's minimum asks for TLS to the Service, and it is HTTP.",
                           "Set backend-protocol to HTTPS."));
}

}  // namespace

IngressPlan make_plan(const objects::Ingress& ingress, const Options& options,
                      BackendTls& backend_tls, ObjectReport& report) {
  IngressPlan plan;
  const Annotations annotations{ingress};
  plan.refused = annotations.review(report);
  plan.redirect_with_tls =
      read_switch(annotations, "ssl-redirect", options.ssl_redirect, report, plan.refused);
  plan.redirect_always =
      read_switch(annotations, "force-ssl-redirect", false, report, plan.refused);
  plan.access_log = read_switch(annotations, "enable-access-log", true, report, plan.refused);

  const auto protocol = read_protocol(annotations, report, plan.refused);
  if (protocol == config::BackendProtocol::Https) {
    plan.protocol = *protocol;
    plan.upstream = backend_tls.plan(ingress, annotations, report);
  } else if (protocol) {
    keep_first(plan.refused, backend_tls.check_unused(ingress, annotations, report));
    require_tls(options, ingress, report, plan.refused);
  }
  return plan;
}

}  // namespace handfast::translate
