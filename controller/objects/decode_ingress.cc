// Ingress and IngressClass: k8s.io/kubernetes, pkg/apis/networking/validation.

#include <array>
#include <utility>

#include "controller/objects/decode_kinds.h"
#include "controller/objects/names.h"

namespace handfast::objects {
namespace {

constexpr std::string_view kSubdomainForm =
    "must be lower-case letters, digits, '-' and '.', at most 253";

PortRef read_port(const Place& place, Fields& fields) {
  PortRef port;
  (void)fields.is_map(place);
  fields.only_written(place, {"name", "number"});
  const Place number = place.member("number");
  const Place name = place.member("name");
  port.number = fields.port(number);
  port.name = fields.text(name);
  if (!port.name.empty() && port.number != 0) {
    fields.refuse(place, "has both a name and a number: give one");
  } else if (port.name.empty() && port.number == 0) {
    fields.refuse(place, "needs a name or a number");
  } else if (!port.name.empty() && !is_port_name(port.name)) {
    fields.refuse(
        name, "must be lower-case letters, digits and '-', at most 15, with at least one letter");
  }
  return port;
}

ServiceBackend read_service(const Place& place, Fields& fields) {
  ServiceBackend service;
  (void)fields.is_map(place);
  fields.only_written(place, {"name", "port"});
  const Place name = place.member("name");
  service.service = fields.required_text(name);
  if (fields.good() && !is_dns_label(service.service)) {
    fields.refuse(name, "must be lower-case letters, digits and '-', at most 63");
  }
  const Place port = place.member("port");
  service.port = read_port(port, fields);
  return service;
}

IngressBackend read_backend(const Place& place, Fields& fields) {
  IngressBackend backend;
  (void)fields.is_map(place);
  fields.only_written(place, {"service", "resource"});
  const Place service = place.member("service");
  const Place resource = place.member("resource");
  if (!service.absent() && !resource.absent()) {
    fields.refuse(place, "has both a service and a resource: give one");
  } else if (!service.absent()) {
    backend.service = read_service(service, fields);
  } else if (fields.is_map(resource)) {
    (void)fields.required_text(resource.member("kind"));
    (void)fields.required_text(resource.member("name"));
  } else {
    fields.refuse(place, "needs a service");
  }
  return backend;
}

// What a prefix or an exact path may not hold, since servers normalise it in different ways.
const char* why_bad_path(std::string_view path) {
  static constexpr std::array<std::string_view, 5> kSequences{"//", "/./", "/../", "%2f", "%2F"};
  for (const std::string_view sequence : kSequences) {
    if (path.find(sequence) != std::string_view::npos) {
      return "must not contain //, /./, /../ or %2f";
    }
  }
  if (path.ends_with("/..") || path.ends_with("/.")) return "must not end in /.. or /.";
  return nullptr;
}

IngressPath read_path(const Place& place, Fields& fields) {
  IngressPath path;
  (void)fields.is_map(place);
  fields.only_written(place, {"path", "pathType", "backend"});
  const Place type_place = place.member("pathType");
  const Place path_place = place.member("path");
  const std::string type = fields.required_text(type_place);
  path.path = fields.text(path_place);
  if (type == "Exact" || type == "Prefix") {
    path.type = type == "Exact" ? IngressPathType::Exact : IngressPathType::Prefix;
    if (!path.path.starts_with('/')) fields.refuse(path_place, "must begin with '/'");
    if (const char* why = why_bad_path(path.path)) fields.refuse(path_place, why);
  } else if (type == "ImplementationSpecific") {
    path.type = IngressPathType::ImplementationSpecific;
    if (!path.path.empty() && !path.path.starts_with('/')) {
      fields.refuse(path_place, "must begin with '/'");
    }
  } else {
    fields.refuse(type_place, "must be Exact, Prefix or ImplementationSpecific");
  }
  const Place backend = place.member("backend");
  path.backend = read_backend(backend, fields);
  return path;
}

void check_rule_host(const Place& place, std::string_view host, Fields& fields) {
  if (host.empty()) return;
  if (is_ipv4(host) || is_ipv6(host)) {
    fields.refuse(place, "must be a DNS name, not an IP address");
  } else if (host.find('*') != std::string_view::npos ? !is_wildcard_subdomain(host)
                                                      : !is_dns_subdomain(host)) {
    fields.refuse(place,
                  "must be a DNS name in lower case without a port, or '*.' and such a name");
  }
}

IngressRule read_rule(const Place& place, Fields& fields) {
  IngressRule rule;
  (void)fields.is_map(place);
  fields.only_written(place, {"host", "http"});
  const Place host = place.member("host");
  rule.host = fields.text(host);
  check_rule_host(host, rule.host, fields);

  // A rule without http sends its host to the default backend.
  const Place http = place.member("http");
  fields.only_written(http, {"paths"});
  if (!fields.is_map(http)) return rule;
  const Place paths = http.member("paths");
  const std::size_t count = fields.items(paths);
  if (count == 0) fields.refuse(paths, "must hold at least one path");
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place path = paths.item(n);
    rule.paths.push_back(read_path(path, fields));
  }
  return rule;
}

IngressTls read_tls(const Place& place, Fields& fields) {
  IngressTls tls;
  (void)fields.is_map(place);
  fields.only_written(place, {"hosts", "secretName"});
  const Place hosts = place.member("hosts");
  const std::size_t count = fields.items(hosts);
  for (std::size_t n = 0; n < count; ++n) {
    const Place host = hosts.item(n);
    std::string text = fields.required_text(host);
    if (!is_dns_subdomain(text) && !is_wildcard_subdomain(text)) {
      fields.refuse(host, "must be a DNS name in lower case, or '*.' and such a name");
    }
    tls.hosts.push_back(std::move(text));
  }
  const Place secret = place.member("secretName");
  tls.secret_name = fields.text(secret);
  if (!tls.secret_name.empty() && !is_dns_subdomain(tls.secret_name)) {
    fields.refuse(secret, std::string(kSubdomainForm));
  }
  return tls;
}

}  // namespace

Object decode_ingress(const Place& root, Meta meta, Fields& fields) {
  Ingress ingress;
  ingress.meta = std::move(meta);
  const Place spec = root.member("spec");
  (void)fields.is_map(spec);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "spec", "status"});
  fields.only_written(spec, {"ingressClassName", "defaultBackend", "tls", "rules"});

  ingress.addresses = read_load_balancer(root.member("status").value());
  const Place class_name = spec.member("ingressClassName");
  if (!class_name.absent()) {
    ingress.class_name = fields.text(class_name);
    if (!is_dns_subdomain(*ingress.class_name))
      fields.refuse(class_name, std::string(kSubdomainForm));
  }
  const Place default_backend = spec.member("defaultBackend");
  if (!default_backend.absent()) ingress.default_backend = read_backend(default_backend, fields);

  const Place rules = spec.member("rules");
  const std::size_t rule_count = fields.items(rules);
  if (rule_count == 0 && default_backend.absent()) {
    fields.refuse(spec, "needs rules or a defaultBackend");
  }
  for (std::size_t n = 0; n < rule_count && fields.good(); ++n) {
    const Place rule = rules.item(n);
    ingress.rules.push_back(read_rule(rule, fields));
  }
  const Place tls = spec.member("tls");
  const std::size_t tls_count = fields.items(tls);
  for (std::size_t n = 0; n < tls_count && fields.good(); ++n) {
    const Place entry = tls.item(n);
    ingress.tls.push_back(read_tls(entry, fields));
  }
  return ingress;
}

Object decode_ingress_class(const Place& root, Meta meta, Fields& fields) {
  IngressClass result;
  result.meta = std::move(meta);
  fields.only_written(root, {"apiVersion", "kind", "metadata", "spec"});
  const Place spec = root.member("spec");
  (void)fields.is_map(spec);
  result.controller = fields.text(spec.member("controller"));
  const auto mark = result.meta.annotations.find("ingressclass.kubernetes.io/is-default-class");
  result.is_default = mark != result.meta.annotations.end() && mark->second == "true";
  return result;
}

}  // namespace handfast::objects
