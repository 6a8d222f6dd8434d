#pragma once
// The policies that say how a Service is connected to by TLS, and what they may refer to: only the
// fields that Handfast uses, under the names of the API.
//
//   UpstreamTLSPolicy   handfast.dev/v1alpha1
//   BackendTLSPolicy    gateway.networking.k8s.io/v1, v1alpha3
//   ReferenceGrant      gateway.networking.k8s.io/v1beta1, v1
//   ClusterTrustBundle  certificates.k8s.io/v1beta1, v1alpha1
//
// A policy that is wrong is kept, with its fault: a Service that it targets must not be served as
// if there were no policy.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controller/objects/meta.h"
#include "controller/objects/status.h"
#include "proxy/base/result.h"

namespace handfast::objects {

// A Service of the policy's namespace, or one port of it by name.
struct PolicyTarget {
  std::string service;
  std::string section;  // spec.ports[].name; empty: every port
  friend bool operator==(const PolicyTarget&, const PolicyTarget&) = default;
};

// The first thing that is wrong with a policy.
struct PolicyFault {
  std::string field;
  Error error;
  friend bool operator==(const PolicyFault&, const PolicyFault&) = default;
};

// A Secret, a ConfigMap or a ClusterTrustBundle, and which of its keys.
struct MaterialRef {
  std::string kind;
  std::string ns;  // empty: that of the policy, or the kind has none
  std::string name;
  std::string key;  // empty: the usual one
  friend bool operator==(const MaterialRef&, const MaterialRef&) = default;
};

enum class PolicyMode : std::uint8_t { None, ServerOnly, ClientAndServer };
enum class SanType : std::uint8_t { Hostname, Uri, IpAddress };
enum class PolicyPinType : std::uint8_t { Spki, Certificate };
enum class OnUnavailable : std::uint8_t { Fail, AllowWithWarning };
enum class PolicyScope : std::uint8_t { Chain, Leaf };
enum class PolicyOcsp : std::uint8_t { Off, IfPresent, Require };
enum class OnIdentityChange : std::uint8_t { Keep, Drain, Close };
enum class OnTrustReduced : std::uint8_t { Close, Drain };
enum class Preflight : std::uint8_t { Warn, Off, Enforce };
enum class PolicyTlsVersion : std::uint8_t { Tls12, Tls13 };

struct SubjectAltName {
  SanType type = SanType::Hostname;
  std::string value;
  friend bool operator==(const SubjectAltName&, const SubjectAltName&) = default;
};

struct PolicyPin {
  PolicyPinType type = PolicyPinType::Spki;
  std::string sha256;  // lower-case hex, however it was written
  friend bool operator==(const PolicyPin&, const PolicyPin&) = default;
};

struct PolicyRevocation {
  std::vector<MaterialRef> crls;
  PolicyScope scope = PolicyScope::Chain;
  OnUnavailable on_unavailable = OnUnavailable::Fail;
  PolicyOcsp ocsp = PolicyOcsp::Off;
  friend bool operator==(const PolicyRevocation&, const PolicyRevocation&) = default;
};

struct PolicyValidation {
  std::vector<MaterialRef> cas;
  bool system_roots = false;
  std::string hostname;
  std::vector<SubjectAltName> sans;
  std::uint8_t verify_depth = 4;
  std::vector<PolicyPin> pins;
  bool pin_only = false;
  PolicyRevocation revocation;
  bool insecure_skip_verify = false;
  friend bool operator==(const PolicyValidation&, const PolicyValidation&) = default;
};

struct PolicyProtocol {
  std::optional<PolicyTlsVersion> least;
  std::optional<PolicyTlsVersion> most;
  std::vector<std::string> ciphers;
  std::vector<std::string> cipher_suites;
  std::vector<std::string> groups;
  bool alpn_given = false;
  bool http1 = false;  // of alpn
  bool http2 = false;
  friend bool operator==(const PolicyProtocol&, const PolicyProtocol&) = default;
};

struct PolicyRotation {
  OnIdentityChange on_identity_change = OnIdentityChange::Keep;
  OnTrustReduced on_trust_reduced = OnTrustReduced::Close;
  std::uint32_t drain_ms = 0;    // with Drain of either
  std::uint32_t max_age_ms = 0;  // 0: no limit
  Preflight preflight = Preflight::Warn;
  friend bool operator==(const PolicyRotation&, const PolicyRotation&) = default;
};

struct UpstreamTlsPolicy {
  Meta meta;
  std::vector<PolicyTarget> targets;
  std::optional<PolicyFault> fault;  // with one, nothing below counts
  PolicyMode mode = PolicyMode::ServerOnly;
  std::optional<MaterialRef> client_certificate;
  std::optional<MaterialRef> passphrase;
  PolicyValidation validation;
  std::optional<bool> require_certificate_request;
  PolicyProtocol protocol;
  bool resumption = true;
  PolicyRotation rotation;
  std::int64_t expiry_warning_s = 14 * 24 * 3600;
  PolicyStatus status;
  friend bool operator==(const UpstreamTlsPolicy&, const UpstreamTlsPolicy&) = default;
};

// Of `validation` it has hostname, CAs, System and alternative names.
struct BackendTlsPolicy {
  Meta meta;
  std::vector<PolicyTarget> targets;
  std::optional<PolicyFault> fault;
  PolicyValidation validation;
  std::vector<std::string> options;  // keys of spec.options: none has a meaning here
  std::string version;               // "v1": under which its status is written
  AncestorsStatus status;
  friend bool operator==(const BackendTlsPolicy&, const BackendTlsPolicy&) = default;
};

// Lets objects of one namespace refer to some of this one.
struct ReferenceGrant {
  struct From {
    std::string group, kind, ns;
    friend bool operator==(const From&, const From&) = default;
  };
  struct To {
    std::string group, kind;
    std::string name;  // empty: every one
    friend bool operator==(const To&, const To&) = default;
  };
  Meta meta;
  std::vector<From> from;
  std::vector<To> to;
  friend bool operator==(const ReferenceGrant&, const ReferenceGrant&) = default;
};

struct ClusterTrustBundle {
  Meta meta;
  DataValue trust_bundle;  // PEM
  friend bool operator==(const ClusterTrustBundle&, const ClusterTrustBundle&) = default;
};

}  // namespace handfast::objects
