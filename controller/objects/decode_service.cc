// Service and EndpointSlice: k8s.io/kubernetes, pkg/apis/{core,discovery}/validation. Addresses
// that the API server refuses as endpoints (loopback, link-local) are allowed: a manifests
// directory serves machines without a cluster too.

#include <algorithm>
#include <array>
#include <utility>

#include "controller/objects/decode_kinds.h"
#include "controller/objects/names.h"

namespace handfast::objects {
namespace {

constexpr std::string_view kLabelForm = "must be lower-case letters, digits and '-', at most 63";

// Whether a port's protocol is TCP; an unknown one is refused.
bool is_tcp(const Place& port, Fields& fields) {
  const Place protocol = port.member("protocol");
  const std::string text = fields.text(protocol);
  if (text.empty() || text == "TCP") return true;
  if (text != "UDP" && text != "SCTP") fields.refuse(protocol, "must be TCP, UDP or SCTP");
  return false;
}

PortRef read_target_port(const Place& place, std::uint16_t port, Fields& fields) {
  const Value* const value = place.value();
  // The API takes 0 and "" for "not given".
  const bool is_default = place.absent() || (value->kind == Value::Kind::Scalar &&
                                             value->scalar == (value->quoted ? "" : "0"));
  if (is_default) return {port, {}};
  if (value->kind == Value::Kind::Scalar && scalar_type(*value) == ScalarType::Number) {
    return {fields.port(place), {}};
  }
  PortRef target{0, fields.text(place)};
  if (!is_port_name(target.name)) {
    fields.refuse(place,
                  "must be a port number without quotes, or a name: lower-case letters, digits and "
                  "'-', at most 15, with at least one letter");
  }
  return target;
}

ServicePort read_service_port(const Place& place, bool must_have_name, Fields& fields) {
  ServicePort port;
  (void)fields.is_map(place);
  const Place name = place.member("name");
  port.name = must_have_name ? fields.required_text(name) : fields.text(name);
  if (!port.name.empty() && !is_dns_label(port.name)) fields.refuse(name, std::string(kLabelForm));
  const Place number = place.member("port");
  port.port = fields.port(number);
  if (port.port == 0) fields.refuse(number, "is missing");
  const Place target = place.member("targetPort");
  port.target_port = read_target_port(target, port.port, fields);
  const Place protocol = place.member("appProtocol");
  port.app_protocol = fields.text(protocol);
  if (!port.app_protocol.empty() && !is_qualified_name(port.app_protocol)) {
    fields.refuse(protocol, "must be a name, like \"https\" or \"kubernetes.io/h2c\"");
  }
  return port;
}

void read_service_ports(const Place& spec, Service& service, Fields& fields) {
  const Place ports = spec.member("ports");
  const std::size_t count = fields.items(ports);
  const bool may_be_empty =
      service.type == ServiceType::ExternalName || service.cluster_ip == "None";
  if (count == 0 && !may_be_empty) fields.refuse(ports, "must hold at least one port");
  std::vector<std::string> names;
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place place = ports.item(n);
    ServicePort port = read_service_port(place, /*must_have_name=*/count > 1, fields);
    names.push_back(port.name);
    if (is_tcp(place, fields)) service.ports.push_back(std::move(port));
  }
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
    fields.refuse(ports, "has the name " + *twice + " twice");
  }
}

void read_service_type(const Place& spec, Service& service, Fields& fields) {
  static constexpr std::array<std::pair<std::string_view, ServiceType>, 4> kTypes{{
      {"ClusterIP", ServiceType::ClusterIp},
      {"NodePort", ServiceType::NodePort},
      {"LoadBalancer", ServiceType::LoadBalancer},
      {"ExternalName", ServiceType::ExternalName},
  }};
  const Place place = spec.member("type");
  const std::string type = fields.text(place);
  if (type.empty()) return;
  for (const auto& [word, value] : kTypes) {
    if (type != word) continue;
    service.type = value;
    return;
  }
  fields.refuse(place, "must be ClusterIP, NodePort, LoadBalancer or ExternalName");
}

void read_external_name(const Place& spec, Service& service, Fields& fields) {
  const Place place = spec.member("externalName");
  service.external_name =
      service.type == ServiceType::ExternalName ? fields.required_text(place) : fields.text(place);
  std::string_view name = service.external_name;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!service.external_name.empty() && !is_dns_subdomain(name)) {
    fields.refuse(place, "must be a DNS name in lower case");
  }
}

std::vector<std::string> read_addresses(const Place& place, std::string_view type, Fields& fields) {
  std::vector<std::string> found;
  const std::size_t count = fields.items(place);
  if (count == 0) fields.refuse(place, "must hold at least one address");
  for (std::size_t n = 0; n < count; ++n) {
    const Place item = place.item(n);
    std::string text = fields.required_text(item);
    if (type == "IPv4" && !is_ipv4(text)) fields.refuse(item, "must be an IPv4 address");
    if (type == "IPv6" && !is_ipv6(text)) fields.refuse(item, "must be an IPv6 address");
    if (type == "FQDN" && !is_dns_subdomain(text)) fields.refuse(item, "must be a DNS name");
    found.push_back(std::move(text));
  }
  return found;
}

SliceEndpoint read_endpoint(const Place& place, std::string_view address_type, Fields& fields) {
  SliceEndpoint endpoint;
  (void)fields.is_map(place);
  const Place addresses = place.member("addresses");
  endpoint.addresses = read_addresses(addresses, address_type, fields);
  const Place conditions = place.member("conditions");
  (void)fields.is_map(conditions);
  fields.only_written(conditions, {"ready", "serving", "terminating"});
  endpoint.ready = fields.boolean(conditions.member("ready"), true);
  endpoint.serving = fields.boolean(conditions.member("serving"), endpoint.ready);
  endpoint.terminating = fields.boolean(conditions.member("terminating"), false);
  return endpoint;
}

void read_slice_ports(const Place& ports, EndpointSlice& slice, Fields& fields) {
  const std::size_t count = fields.items(ports);
  for (std::size_t n = 0; n < count; ++n) {
    const Place place = ports.item(n);
    (void)fields.is_map(place);
    SlicePort port;
    const Place name = place.member("name");
    port.name = fields.text(name);
    if (!port.name.empty() && !is_dns_label(port.name))
      fields.refuse(name, std::string(kLabelForm));
    port.port = fields.port(place.member("port"));
    // A port without a number means every port, which no Service's port can be.
    if (is_tcp(place, fields) && port.port != 0) slice.ports.push_back(std::move(port));
  }
}

}  // namespace

Object decode_service(const Place& root, Meta meta, Fields& fields) {
  Service service;
  service.meta = std::move(meta);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "spec", "status"});
  const Place spec = root.member("spec");
  (void)fields.is_map(spec);
  read_service_type(spec, service, fields);
  const Place cluster_ip = spec.member("clusterIP");
  service.cluster_ip = fields.text(cluster_ip);
  const std::string& ip = service.cluster_ip;
  if (!ip.empty() && ip != "None" && !is_ipv4(ip) && !is_ipv6(ip)) {
    fields.refuse(cluster_ip, "must be an IP address or None");
  }
  read_external_name(spec, service, fields);
  read_service_ports(spec, service, fields);
  const Place external = spec.member("externalIPs");
  for (std::size_t n = 0; n < fields.items(external); ++n) {
    const Place item = external.item(n);
    service.external_ips.push_back(fields.text(item));
  }
  service.addresses = read_load_balancer(root.member("status").value());
  return service;
}

Object decode_endpoint_slice(const Place& root, Meta meta, Fields& fields) {
  EndpointSlice slice;
  slice.meta = std::move(meta);
  fields.only_written(root,
                      {"apiVersion", "kind", "metadata", "addressType", "endpoints", "ports"});
  const auto label = slice.meta.labels.find("kubernetes.io/service-name");
  if (label != slice.meta.labels.end()) slice.service = label->second;

  const Place type = root.member("addressType");
  slice.address_type = fields.required_text(type);
  if (slice.address_type != "IPv4" && slice.address_type != "IPv6" &&
      slice.address_type != "FQDN") {
    fields.refuse(type, "must be IPv4, IPv6 or FQDN");
  }
  const Place endpoints = root.member("endpoints");
  const std::size_t count = fields.items(endpoints);
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place endpoint = endpoints.item(n);
    slice.endpoints.push_back(read_endpoint(endpoint, slice.address_type, fields));
  }
  const Place ports = root.member("ports");
  read_slice_ports(ports, slice, fields);
  return slice;
}

}  // namespace handfast::objects
