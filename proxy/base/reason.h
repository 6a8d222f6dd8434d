#pragma once
// The closed list of words that say why something was refused or failed.
//
// The same word stands in the access log (`upstream_tls_error`), in the metric label `reason`, in
// an event, and (in CamelCase) in a condition. A word decides what the client is answered:
// http_status(). The client is told the status and nothing else.

#include <cstdint>
#include <optional>
#include <string_view>

namespace handfast {

enum class Reason : std::uint8_t {
  Ok,
  // Named objects that aren't there: 503 (client CA: 403).
  SecretMissing,
  CaMissing,
  CrlMissing,  // Of the object: 503. Of a chain that no CRL covers, at a handshake: 502.
  // Material that is there and can't be used: 503.
  KeyMismatch,
  BadCertificate,
  BadKey,
  Passphrase,
  BadCa,
  BadCrl,
  ClientCertificateExpired,
  ClientCertificateNotYetValid,
  // Values of annotations and policies: 503.
  InvalidValue,
  UnsupportedAnnotation,
  NotPermitted,
  BelowMinimum,
  // The peer's chain: 502.
  Expired,
  NotYetValid,
  UntrustedIssuer,
  ChainTooLong,
  WrongPurpose,
  Weak,
  NameMismatch,
  PinMismatch,
  Revoked,
  CrlExpired,
  CrlNotYetValid,
  Ocsp,
  // The handshake: 502, a timeout 504.
  ClientCertificateRejected,
  ClientCertificateNotRequested,
  Protocol,
  Alpn,
  NotTls,
  HandshakeClosed,
  HandshakeTimeout,
  // Where to send it: 503.
  NoEndpoints,
  ServiceMissing,
  PortMissing,
  // The connection to the backend: 502, timeouts 504.
  ConnectRefused,
  ConnectTimeout,
  BadResponse,
  ResponseTimeout,
  NoRoute,  // 404.
  // The front: default certificate; client certificates.
  FrontCertificate,
  NoClientCertificate,
  BadClientCertificate,
  Misdirected,
  ClientAddress,  // its address: 403.
  // The controller's own: what is wrong with an object, a file or the machine. Never answers a
  // request, but for Conflict: rules for clients that another Ingress overrules (403).
  BadYaml,
  BadObject,
  Conflict,
  Unsupported,
  Io,
  Internal,
};

// How many values Reason has; Internal is the last.
inline constexpr int kReasonCount = static_cast<int>(Reason::Internal) + 1;

// The word, in snake_case: "key_mismatch". Never empty.
[[nodiscard]] std::string_view to_string(Reason reason);

// The inverse of to_string(); nothing for a word that is not on the list.
[[nodiscard]] std::optional<Reason> parse_reason(std::string_view word);

// What the client of a proxied HTTP request is answered when this stands in its way (the table
// "What a case answers"). CrlMissing answers 502 here: a configured object that is missing refuses
// the route and answers 503 whatever the word, see refusal_status().
[[nodiscard]] int http_status(Reason reason);

// What a route that the controller refused answers: 503 for all but NoRoute (404).
[[nodiscard]] int refusal_status(Reason reason);

}  // namespace handfast
