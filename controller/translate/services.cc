#include "controller/translate/services.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "controller/objects/names.h"
#include "controller/translate/names.h"
#include "controller/translate/traffic_values.h"

namespace handfast::translate {
namespace {

using EndpointKey = std::pair<std::string, std::uint16_t>;

const objects::ServicePort* find_port(const objects::Service& service,
                                      const objects::PortRef& ref) {
  const auto found = std::find_if(
      service.ports.begin(), service.ports.end(), [&ref](const objects::ServicePort& port) {
        return ref.name.empty() ? port.port == ref.number : port.name == ref.name;
      });
  return found == service.ports.end() ? nullptr : &*found;
}

config::Refusal port_missing(const config::Service& service) {
  return {Reason::PortMissing, "Service " + service.name + ": there is no such port."};
}

// The better of two sayings about one address: while an endpoint moves between slices both have it.
int quality(const config::Endpoint& endpoint) {
  return (endpoint.ready ? 4 : 0) + (endpoint.serving ? 2 : 0) + (endpoint.terminating ? 0 : 1);
}

void add_slice(const objects::EndpointSlice& slice, std::uint16_t port, Report& report,
               std::map<EndpointKey, config::Endpoint>& endpoints) {
  for (const objects::SliceEndpoint& source : slice.endpoints) {
    for (const std::string& address : source.addresses) {
      if (!is_ip_address(address)) {
        ObjectReport{report, "EndpointSlice", slice.meta}.warn(
            Reason::InvalidValue, "endpoints[].addresses",
            quoted(address) + " is not an IP address and isn't used.", "Correct the address.");
        continue;
      }
      config::Endpoint endpoint{.address = address,
                                .port = port,
                                .ready = source.ready,
                                .serving = source.serving,
                                .terminating = source.terminating};
      auto [kept, added] = endpoints.try_emplace({address, port}, endpoint);
      if (!added && quality(endpoint) > quality(kept->second)) kept->second = std::move(endpoint);
    }
  }
}

void collect_endpoints(const state::Reader& state, const objects::Service& service,
                       const objects::ServicePort& port, Report& report, config::Service& out) {
  std::map<EndpointKey, config::Endpoint> endpoints;
  const auto slices = state.endpoint_slices(service.meta.ns, service.meta.name);
  bool port_seen = false;
  for (const objects::EndpointSlice* slice : slices) {
    if (slice->address_type == "FQDN") {
      ObjectReport{report, "EndpointSlice", slice->meta}.warn(
          Reason::Unsupported, "addressType", "FQDN slices aren't used.",
          "Use an ExternalName Service for a DNS name.");
      continue;
    }
    for (const objects::SlicePort& slice_port : slice->ports) {
      if (slice_port.name != port.name || slice_port.port == 0) continue;
      port_seen = true;
      add_slice(*slice, slice_port.port, report, endpoints);
    }
  }
  for (auto& [key, endpoint] : endpoints) out.endpoints.push_back(std::move(endpoint));

  ObjectReport service_report{report, "Service", service.meta};
  if (slices.empty()) {
    service_report.info(Reason::NoEndpoints, "spec.ports",
                        "There is no EndpointSlice for this Service; it answers 503.",
                        "Add one, unless the cluster makes it.");
  } else if (!port_seen) {
    service_report.warn(Reason::NoEndpoints, "spec.ports",
                        "No EndpointSlice of this Service has a port named " + quoted(port.name) +
                            "; it answers 503.",
                        "Give the slice's port the name of the Service's port.");
  }
}

// ingress-nginx's rule: the port of the Service's list if it is there, else the number itself,
// since an ExternalName Service needs no ports.
std::optional<std::uint16_t> external_port(const objects::Service& service,
                                           const objects::PortRef& ref) {
  if (const auto* port = find_port(service, ref)) {
    return port->target_port.number != 0 ? port->target_port.number : port->port;
  }
  if (ref.name.empty() && ref.number != 0) return ref.number;
  return std::nullopt;
}

void point_outside(const objects::Service& service, const objects::PortRef& ref, Report& report,
                   config::Service& out) {
  out.external_name = true;
  const auto port = external_port(service, ref);
  if (!port) {
    out.refused = port_missing(out);
    return;
  }
  ObjectReport service_report{report, "Service", service.meta};
  std::string host = external_host(service);
  if (!is_ip_address(host) && (!is_dns_name(host) || ends_in_number(host))) {
    out.refused = service_report.refuse(Reason::InvalidValue, "spec.externalName",
                                        quoted(service.external_name) + " is not a DNS name.",
                                        "Correct the name.");
    return;
  }
  // A tenant's Service must not lead to what listens inside our own pod.
  if (is_this_machine(host)) {
    out.refused = service_report.refuse(Reason::NotPermitted, "spec.externalName",
                                        quoted(service.external_name) + " is this machine itself.",
                                        "Use a Service with endpoints.");
    return;
  }
  out.endpoints.push_back(config::Endpoint{.address = std::move(host), .port = *port});
}

void tell_unknown_protocol(const objects::Service& service, std::string_view word, Report& report) {
  if (word.empty() || find_app_protocol(word)) return;
  ObjectReport{report, "Service", service.meta}.warn(
      Reason::InvalidValue, "spec.ports[].appProtocol",
      quoted(word) + " is not a protocol that is known here and has no effect.",
      "Use http, https, grpc, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss; "
      "backend-protocol and handfast.dev/upstream-http2 of the Ingress decide without it.");
}

}  // namespace

std::string port_text(const objects::PortRef& port) {
  return port.name.empty() ? std::to_string(port.number) : port.name.text();
}

std::string cluster_name(std::string_view ns, const objects::ServiceBackend& backend) {
  return std::string{ns} + '/' + backend.service + ':' + port_text(backend.port);
}

std::optional<std::string> find_name_fault(const objects::ServiceBackend& backend) {
  if (!objects::is_dns_label(backend.service))
    return quoted(backend.service) + " is not a Service's name.";
  // As the API has it: without a letter it would be a number.
  const bool has_letter =
      std::ranges::any_of(backend.port.name.text(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!backend.port.name.empty() && (!objects::is_dns_label(backend.port.name) || !has_letter)) {
    return quoted(backend.port.name) + " is not a port's name.";
  }
  if (backend.port.name.empty() && backend.port.number == 0) return "The backend names no port.";
  return std::nullopt;
}

std::string external_host(const objects::Service& service) {
  std::string host = to_lower(service.external_name);
  if (host.ends_with('.')) host.pop_back();
  return host;
}

std::string_view app_protocol_of(const objects::Service& service, const objects::PortRef& port) {
  const auto* found = find_port(service, port);
  return found == nullptr ? std::string_view{} : std::string_view{found->app_protocol};
}

std::string_view port_name_of(const objects::Service* service, const objects::PortRef& port) {
  const auto* found = service == nullptr ? nullptr : find_port(*service, port);
  return found == nullptr ? std::string_view{port.name} : std::string_view{found->name};
}

std::string_view remedy_of(const config::Refusal& refused) {
  if (refused.reason == Reason::ServiceMissing) return "Create it, or correct the name.";
  if (refused.reason == Reason::PortMissing) {
    return "Correct the backend's port, or add the port to the Service.";
  }
  return "Name another Service until that is done.";
}

std::optional<config::Refusal> find_refusal(const state::Reader& state, std::string_view ns,
                                            const objects::ServiceBackend& backend) {
  const objects::Service* service = state.find_service(ns, backend.service);
  if (service == nullptr) {
    return config::Refusal{Reason::ServiceMissing,
                           "There is no Service " + std::string{ns} + '/' + backend.service + '.'};
  }
  config::Service out;
  out.name = cluster_name(ns, backend);
  if (service->type == objects::ServiceType::ExternalName) {
    Report told_by_make_service;
    point_outside(*service, backend.port, told_by_make_service, out);
    return out.refused;
  }
  if (find_port(*service, backend.port) == nullptr) return port_missing(out);
  return std::nullopt;
}

config::Service make_service(const state::Reader& state, std::string_view ns,
                             const objects::ServiceBackend& backend, Report& report) {
  config::Service out;
  out.name = cluster_name(ns, backend);
  const objects::Service* service = state.find_service(ns, backend.service);
  if (service == nullptr) {
    out.refused = find_refusal(state, ns, backend);
    return out;
  }
  tell_unknown_protocol(*service, app_protocol_of(*service, backend.port), report);
  if (service->type == objects::ServiceType::ExternalName) {
    point_outside(*service, backend.port, report, out);
  } else if (const auto* port = find_port(*service, backend.port)) {
    collect_endpoints(state, *service, *port, report, out);
  } else {
    out.refused = port_missing(out);
  }
  return out;
}

}  // namespace handfast::translate
