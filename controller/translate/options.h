#pragma once
// What the operator decides for all Ingresses: flags of the controller that translate needs.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// A reference "namespace/name".
struct NamespacedName {
  std::string ns;
  std::string name;
  friend bool operator==(const NamespacedName&, const NamespacedName&) = default;
};

// --default-upstream-ca: secret:ns/name | configmap:ns/name | system
struct DefaultCa {
  enum class Kind : unsigned char { Secret, ConfigMap, System };
  Kind kind = Kind::Secret;
  NamespacedName ref;  // unless System
  friend bool operator==(const DefaultCa&, const DefaultCa&) = default;
};

enum class MinimumTls : unsigned char { None, Server, Mutual };

// --minimum-upstream-tls=[NAMESPACE-PATTERN=]none|server|mutual[,min-version=1.3][,crl]
// The first pattern that matches an Ingress' namespace decides; patterns use '*'.
struct Floor {
  std::string namespace_pattern = "*";
  MinimumTls minimum = MinimumTls::None;
  config::TlsVersion least_version = config::TlsVersion::Tls12;
  bool crl_required = false;
  friend bool operator==(const Floor&, const Floor&) = default;
};

// --upstream-verification-audit=PATTERN@DATE
struct VerificationAudit {
  std::string pattern;     // of "namespace/name" of the Ingress or the policy
  std::int64_t until = 0;  // Unix seconds
  friend bool operator==(const VerificationAudit&, const VerificationAudit&) = default;
};

// What an Ingress gets that doesn't say otherwise; each flag is called as the annotation, which is
// called as the ConfigMap key of ingress-nginx.
struct TrafficDefaults {
  std::uint32_t connect_timeout_ms = config::Route{}.connect_timeout_ms;
  std::uint32_t read_timeout_ms = config::Route{}.read_timeout_ms;
  std::uint32_t send_timeout_ms = config::Route{}.send_timeout_ms;
  config::RetryPolicy retry;
  std::uint64_t max_body_bytes = config::kDefaultMaxBodyBytes;
  friend bool operator==(const TrafficDefaults&, const TrafficDefaults&) = default;
};

// Of TCP ports and of hosts whose TLS passes through; called as ingress-nginx's keys
// proxy-stream-….
struct StreamDefaults {
  std::uint32_t idle_timeout_ms = config::StreamRoute{}.idle_timeout_ms;
  config::RetryPolicy retry;
  friend bool operator==(const StreamDefaults&, const StreamDefaults&) = default;
};

struct Options {
  std::string controller_name = "handfast.dev/ingress-controller";  // --controller-class
  // --ingress-class: value of the old annotation kubernetes.io/ingress.class.
  std::string ingress_class = "handfast";
  bool watch_ingress_without_class = false;
  std::string cluster_domain = "cluster.local";
  std::optional<DefaultCa> default_upstream_ca;
  std::string crl_directory;                          // --crl-dir
  std::optional<NamespacedName> default_certificate;  // --default-ssl-certificate
  std::optional<NamespacedName> session_tickets;      // --session-ticket-secret
  std::optional<NamespacedName> config_map;           // --configmap
  std::optional<NamespacedName> default_backend;      // --default-backend-service (first port)
  // --allow-insecure-upstream: "namespace/name" patterns of Ingresses and policies that may turn
  // verification off.
  std::vector<std::string> allow_insecure_upstream;
  // --allow-trust-drain: the same of policies that may let connections in use outlive their trust.
  std::vector<std::string> allow_trust_drain;
  std::vector<Floor> minimum_upstream_tls;
  std::vector<VerificationAudit> verification_audits;  // the first that matches decides
  TrafficDefaults traffic;
  StreamDefaults streams;
  std::optional<NamespacedName> tcp_services;     // --tcp-services-configmap
  std::vector<std::uint16_t> reserved_tcp_ports;  // that we listen on ourselves
  bool enable_ssl_passthrough = false;
  bool ssl_redirect = true;  // default of the annotation, as the next
  bool force_ssl_redirect = false;
  std::optional<config::Refusal> unenforced;  // by the ConfigMap: why no request is served
  friend bool operator==(const Options&, const Options&) = default;
};

// '*' matches any run of characters (also '/'-free parts only: never across '/').
[[nodiscard]] bool matches_pattern(std::string_view pattern, std::string_view text);

// The flags' values as they are written above. InvalidValue with a sentence that shows the form.
[[nodiscard]] Result<NamespacedName> parse_namespaced_name(std::string_view text);
[[nodiscard]] Result<DefaultCa> parse_default_ca(std::string_view text);
[[nodiscard]] Result<Floor> parse_floor(std::string_view text);
[[nodiscard]] Result<VerificationAudit> parse_verification_audit(std::string_view text);
// Patterns of "namespace/name": one without a slash could never match, surely not what was meant.
[[nodiscard]] Status check_object_pattern(std::string_view pattern);

}  // namespace handfast::translate
