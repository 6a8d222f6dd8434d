#pragma once
// From Services and EndpointSlices to the clusters that routes balance over.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// "<port number or name>" and "<service>:<port number or name>", as shard names have them.
[[nodiscard]] std::string port_text(const objects::PortRef& port);
[[nodiscard]] std::string cluster_name(std::string_view ns, const objects::ServiceBackend& backend);

// A backend whose names can't stand in a shard's name; the answer says which.
[[nodiscard]] std::optional<std::string> find_name_fault(const objects::ServiceBackend& backend);

// What an ExternalName Service points at: lower case, without the final dot.
[[nodiscard]] std::string external_host(const objects::Service& service);

// The appProtocol of one port; empty if there is no such port, or it says nothing.
[[nodiscard]] std::string_view app_protocol_of(const objects::Service& service,
                                               const objects::PortRef& port);

// The name of the port that a backend means; empty if it has none.
[[nodiscard]] std::string_view port_name_of(const objects::Service* service,
                                            const objects::PortRef& port);

// What to do about a refusal of make_service(), a sentence.
[[nodiscard]] std::string_view remedy_of(const config::Refusal& refused);

// Whether the Service and its port are there, and can be led to; what it would be refused with.
[[nodiscard]] std::optional<config::Refusal> find_refusal(const state::Reader& state,
                                                          std::string_view ns,
                                                          const objects::ServiceBackend& backend);

// One port of one Service: `refused` if the Service or the port is missing (the Ingress that names
// it is told by the caller), no endpoints if no slice has any. What is odd about Service and slices
// is reported on them.
[[nodiscard]] config::Service make_service(const state::Reader& state, std::string_view ns,
                                           const objects::ServiceBackend& backend, Report& report);

}  // namespace handfast::translate
