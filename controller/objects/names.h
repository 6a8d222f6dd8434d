#pragma once
// The syntax of names as kube-apiserver validates it (k8s.io/apimachinery, util/validation). Names
// become file names and host keys later, so what passes here holds no '/', no blank and no control
// character. Pure; thread-safe.

#include <string_view>

namespace handfast::objects {

// RFC 1123 label: lower-case letters, digits and '-', at most 63; namespaces and Services.
[[nodiscard]] bool is_dns_label(std::string_view text);

// RFC 1123 subdomain: labels with dots between, at most 253; most kinds, hosts without '*'.
[[nodiscard]] bool is_dns_subdomain(std::string_view text);

// "*." and a subdomain.
[[nodiscard]] bool is_wildcard_subdomain(std::string_view text);

// RFC 6335 service name: at most 15, at least one letter; a port by name.
[[nodiscard]] bool is_port_name(std::string_view text);

// "[prefix/]name": keys of annotations and labels.
[[nodiscard]] bool is_qualified_name(std::string_view text);

// Of a ClusterTrustBundle: a subdomain, or, with a signer, "<signer with ':' for '/'>:<name>".
[[nodiscard]] bool is_trust_bundle_name(std::string_view text);

// Keys of Secrets and ConfigMaps: no '/', not "." nor "..", no ".." in front.
[[nodiscard]] bool is_data_key(std::string_view text);

[[nodiscard]] bool is_ipv4(std::string_view text);
[[nodiscard]] bool is_ipv6(std::string_view text);

}  // namespace handfast::objects
