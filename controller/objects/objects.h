#pragma once
// The Kubernetes objects that Handfast reads, as value types: only the fields that it uses, in the
// shape and under the names of the API (networking.k8s.io/v1, core/v1, discovery.k8s.io/v1; those
// of policies are in policies.h).

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/objects/meta.h"
#include "controller/objects/policies.h"
#include "controller/objects/status.h"

namespace handfast::objects {

// A port by number or by name; exactly one is set.
struct PortRef {
  std::uint16_t number = 0;
  RareText name;
  friend bool operator==(const PortRef&, const PortRef&) = default;
};

struct ServiceBackend {
  std::string service;
  PortRef port;
  friend bool operator==(const ServiceBackend&, const ServiceBackend&) = default;
};

// `resource` backends exist in the API and answer 404 here: service is absent then.
struct IngressBackend {
  std::optional<ServiceBackend> service;
  friend bool operator==(const IngressBackend&, const IngressBackend&) = default;
};

enum class IngressPathType : std::uint8_t { Exact, Prefix, ImplementationSpecific };

struct IngressPath {
  std::string path;  // may be empty: "/"
  IngressPathType type = IngressPathType::ImplementationSpecific;
  IngressBackend backend;
  friend bool operator==(const IngressPath&, const IngressPath&) = default;
};

struct IngressRule {
  std::string host;  // empty: every host
  std::vector<IngressPath> paths;
  friend bool operator==(const IngressRule&, const IngressRule&) = default;
};

struct IngressTls {
  std::vector<std::string> hosts;
  std::string secret_name;
  friend bool operator==(const IngressTls&, const IngressTls&) = default;
};

struct Ingress {
  Meta meta;
  std::optional<std::string> class_name;
  std::optional<IngressBackend> default_backend;
  std::vector<IngressRule> rules;
  std::vector<IngressTls> tls;
  std::vector<LoadBalancerAddress> addresses;  // of its status
  friend bool operator==(const Ingress&, const Ingress&) = default;
};

struct IngressClass {
  Meta meta;
  std::string controller;
  bool is_default = false;  // annotation ingressclass.kubernetes.io/is-default-class: "true"
  friend bool operator==(const IngressClass&, const IngressClass&) = default;
};

using DataMap = std::map<std::string, DataValue, std::less<>>;

struct Secret {
  Meta meta;
  std::string type;
  DataMap data;  // stringData wins over data, as in the API
  friend bool operator==(const Secret&, const Secret&) = default;
};

struct ConfigMap {
  Meta meta;
  DataMap data;  // data and binaryData
  friend bool operator==(const ConfigMap&, const ConfigMap&) = default;
};

// The ConfigMap, in no namespace, that the files of --crl-dir are known as.
inline constexpr std::string_view kCrlDirectoryName = "crl-dir";
// An OCSP response about a Secret's tls.crt, DER: Istio's name for it.
inline constexpr std::string_view kStapleKey = "tls.ocsp-staple";
// The same of what --crl-fetch brings.
inline constexpr std::string_view kFetchedCrlsName = "crl-fetch";

enum class ServiceType : std::uint8_t { ClusterIp, NodePort, LoadBalancer, ExternalName };

// TCP only: ports of other protocols are left out, since HTTP can't be sent there and DNS or QUIC
// beside TCP would take the same number.
struct ServicePort {
  std::string name;
  std::uint16_t port = 0;
  PortRef target_port;    // number, or a name that EndpointSlices resolve; default: port
  RareText app_protocol;  // "kubernetes.io/h2c", as written; empty: not given
  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

struct Service {
  Meta meta;
  ServiceType type = ServiceType::ClusterIp;
  std::string cluster_ip;     // "None": headless
  std::string external_name;  // as written: one trailing dot is allowed
  std::vector<ServicePort> ports;
  std::vector<std::string> external_ips;
  std::vector<LoadBalancerAddress> addresses;  // of its status
  friend bool operator==(const Service&, const Service&) = default;
};

struct SliceEndpoint {
  std::vector<std::string> addresses;
  // Absent in the API means: ready true; serving as ready; terminating false.
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  friend bool operator==(const SliceEndpoint&, const SliceEndpoint&) = default;
};

// TCP only, as ServicePort.
struct SlicePort {
  std::string name;  // of the Service's port
  std::uint16_t port = 0;
  friend bool operator==(const SlicePort&, const SlicePort&) = default;
};

struct EndpointSlice {
  Meta meta;
  std::string service;       // label kubernetes.io/service-name
  std::string address_type;  // IPv4, IPv6, FQDN
  std::vector<SliceEndpoint> endpoints;
  std::vector<SlicePort> ports;
  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

using Object =
    std::variant<Ingress, IngressClass, Secret, ConfigMap, Service, EndpointSlice,
                 UpstreamTlsPolicy, BackendTlsPolicy, ReferenceGrant, ClusterTrustBundle>;

// Identity of an object: kind as in the API, namespace, name.
struct ObjectKey {
  std::string kind;
  std::string ns;
  std::string name;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

[[nodiscard]] const Meta& meta(const Object& object);
[[nodiscard]] ObjectKey key(const Object& object);
// The kinds by the index of Object, as the API spells them.
[[nodiscard]] std::string_view kind_name(std::size_t index);
// kNoKind: none of them.
inline constexpr std::size_t kNoKind = std::variant_npos;
[[nodiscard]] std::size_t kind_index(std::string_view name);
[[nodiscard]] std::string to_string(const ObjectKey& key);  // "Ingress shop/orders"
// Equal in everything but where they were read and their status: a line that moved is no change,
// nor is what we wrote ourselves.
[[nodiscard]] bool same_content(const Object& left, const Object& right);
template <class Kind>
[[nodiscard]] bool same_content(const Kind& left, const Kind& right);

}  // namespace handfast::objects
