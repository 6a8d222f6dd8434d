#include "controller/status/ingress_status.h"

#include <algorithm>
#include <utility>

#include "controller/kube/resource.h"
#include "controller/objects/names.h"
#include "proxy/config/emit.h"

namespace handfast::status {
namespace {

constexpr kube::Resource kIngresses{
    .kind = "Ingress", .plural = "ingresses", .group = "networking.k8s.io", .versions = {"v1"}};

using config::JsonObject;
using objects::LoadBalancerAddress;

LoadBalancerAddress address_of(std::string text) {
  const bool is_ip = objects::is_ipv4(text) || objects::is_ipv6(text);
  return is_ip ? LoadBalancerAddress{std::move(text), {}}
               : LoadBalancerAddress{{}, std::move(text)};
}

Addresses sorted(Addresses addresses) {
  std::ranges::sort(addresses);
  const auto [first, last] = std::ranges::unique(addresses);
  addresses.erase(first, last);
  return addresses;
}

}  // namespace

Addresses parse_addresses(std::string_view text) {
  Addresses addresses;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (!one.empty()) addresses.push_back(address_of(std::string(one)));
  }
  return sorted(std::move(addresses));
}

Addresses addresses_of(const objects::Service& service) {
  using objects::ServiceType;
  Addresses addresses;
  if (service.type == ServiceType::ExternalName) return {{{}, service.external_name}};
  if (service.type == ServiceType::LoadBalancer) addresses = service.addresses;
  if (service.type != ServiceType::ClusterIp) {
    for (const std::string& ip : service.external_ips) addresses.push_back(address_of(ip));
  }
  const bool has_cluster_ip = !service.cluster_ip.empty() && service.cluster_ip != "None";
  if (addresses.empty() && service.type != ServiceType::LoadBalancer && has_cluster_ip) {
    addresses.push_back(address_of(service.cluster_ip));
  }
  return sorted(std::move(addresses));
}

Write ingress_write(const objects::Meta& meta, const Addresses& addresses) {
  Write write;
  write.key = "status Ingress " + meta.ns + '/' + meta.name;
  write.method = "PATCH";
  write.path = kube::object_path(kIngresses, 0, meta.ns, meta.name) + "/status";
  write.content_type = "application/merge-patch+json";
  {
    JsonObject patch{write.body};
    JsonObject status{patch.key("status")};
    JsonObject balancer{status.key("loadBalancer")};
    config::append_list(balancer.key("ingress"), addresses,
                        [](std::string& out, const LoadBalancerAddress& address) {
                          JsonObject one{out};
                          if (!address.ip.empty()) one.text("ip", address.ip);
                          if (!address.hostname.empty()) one.text("hostname", address.hostname);
                        });
  }
  return write;
}

bool is_told(const objects::Ingress& ingress, const Addresses& addresses) {
  return sorted(ingress.addresses) == addresses;
}

}  // namespace handfast::status
