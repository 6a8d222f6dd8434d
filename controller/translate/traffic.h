#pragma once
// How the routes of one Ingress speak to their Services: protocol, timeouts, retries, balancing and
// bodies, from annotations, the operator's defaults and the appProtocol of Service ports.
//
// A value that is no value refuses every route of the Ingress. appProtocol only chooses between
// HTTP/1.1 and HTTP/2: whether TLS is spoken is the annotation's or a policy's to say
// (ingress-nginx doesn't look at appProtocol at all), and where the two contradict each other a
// warning says so.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/translate/annotations.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// backend-protocol. Absent: HTTP. Nothing: it refused.
[[nodiscard]] std::optional<config::BackendProtocol> read_protocol(
    const Annotations& annotations, ObjectReport& report, std::optional<config::Refusal>& refused);

// Sets timeouts, retries, balancing and bodies of `route`. Precondition: its protocol is set.
void read_traffic(const Annotations& annotations, const TrafficDefaults& defaults,
                  ObjectReport& report, std::optional<config::Refusal>& refused,
                  config::Route& route);

// For a route that no Ingress asks for.
void apply_defaults(const TrafficDefaults& defaults, config::Route& route);

// handfast.dev/upstream-http2; absent: appProtocol decides.
[[nodiscard]] std::optional<bool> read_http2(const Annotations& annotations,
                                             config::BackendProtocol protocol, ObjectReport& report,
                                             std::optional<config::Refusal>& refused);

[[nodiscard]] config::Http2 choose_http2(config::BackendProtocol protocol,
                                         std::optional<bool> wanted, std::string_view app_protocol);

// Tells on the Ingress that appProtocol says something else than how the route's Service is
// reached. `field` is the backend's.
void tell_contradiction(const config::Route& route, std::string_view app_protocol,
                        std::string field, ObjectReport& report);

}  // namespace handfast::translate
