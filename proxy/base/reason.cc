#include "proxy/base/reason.h"

#include <array>

namespace handfast {
namespace {

struct Row {
  Reason reason;
  std::string_view word;
  int status;
};

constexpr std::array<Row, kReasonCount> kRows{{
    {Reason::Ok, "ok", 200},
    {Reason::SecretMissing, "secret_missing", 503},
    {Reason::CaMissing, "ca_missing", 503},
    {Reason::CrlMissing, "crl_missing", 502},
    {Reason::KeyMismatch, "key_mismatch", 503},
    {Reason::BadCertificate, "bad_certificate", 503},
    {Reason::BadKey, "bad_key", 503},
    {Reason::Passphrase, "passphrase", 503},
    {Reason::BadCa, "bad_ca", 503},
    {Reason::BadCrl, "bad_crl", 503},
    {Reason::ClientCertificateExpired, "client_certificate_expired", 503},
    {Reason::ClientCertificateNotYetValid, "client_certificate_not_yet_valid", 503},
    {Reason::InvalidValue, "invalid_value", 503},
    {Reason::UnsupportedAnnotation, "unsupported_annotation", 503},
    {Reason::NotPermitted, "not_permitted", 503},
    {Reason::BelowMinimum, "below_minimum", 503},
    {Reason::Expired, "expired", 502},
    {Reason::NotYetValid, "not_yet_valid", 502},
    {Reason::UntrustedIssuer, "untrusted_issuer", 502},
    {Reason::ChainTooLong, "chain_too_long", 502},
    {Reason::WrongPurpose, "wrong_purpose", 502},
    {Reason::Weak, "weak", 502},
    {Reason::NameMismatch, "name_mismatch", 502},
    {Reason::PinMismatch, "pin_mismatch", 502},
    {Reason::Revoked, "revoked", 502},
    {Reason::CrlExpired, "crl_expired", 502},
    {Reason::CrlNotYetValid, "crl_not_yet_valid", 502},
    {Reason::Ocsp, "ocsp", 502},
    {Reason::ClientCertificateRejected, "client_certificate_rejected", 502},
    {Reason::ClientCertificateNotRequested, "client_certificate_not_requested", 502},
    {Reason::Protocol, "protocol", 502},
    {Reason::Alpn, "alpn", 502},
    {Reason::NotTls, "not_tls", 502},
    {Reason::HandshakeClosed, "handshake_closed", 502},
    {Reason::HandshakeTimeout, "handshake_timeout", 504},
    {Reason::NoEndpoints, "no_endpoints", 503},
    {Reason::ServiceMissing, "service_missing", 503},
    {Reason::PortMissing, "port_missing", 503},
    {Reason::ConnectRefused, "connect_refused", 502},
    {Reason::ConnectTimeout, "connect_timeout", 504},
    {Reason::BadResponse, "bad_response", 502},
    {Reason::ResponseTimeout, "response_timeout", 504},
    {Reason::NoRoute, "no_route", 404},
    {Reason::FrontCertificate, "front_certificate", 200},
    {Reason::NoClientCertificate, "no_client_certificate", 400},
    {Reason::BadClientCertificate, "bad_client_certificate", 400},
    {Reason::Misdirected, "misdirected", 421},
    {Reason::ClientAddress, "client_address", 403},
    {Reason::BadYaml, "bad_yaml", 503},
    {Reason::BadObject, "bad_object", 503},
    {Reason::Conflict, "conflict", 503},
    {Reason::Unsupported, "unsupported", 503},
    {Reason::Io, "io", 503},
    {Reason::Internal, "internal", 500},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].reason) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kRows must list every Reason in the order of the enum");

}  // namespace

std::string_view to_string(Reason reason) { return kRows[static_cast<std::size_t>(reason)].word; }

std::optional<Reason> parse_reason(std::string_view word) {
  for (const Row& row : kRows) {
    if (row.word == word) return row.reason;
  }
  return std::nullopt;
}

int http_status(Reason reason) { return kRows[static_cast<std::size_t>(reason)].status; }

int refusal_status(Reason reason) { return reason == Reason::NoRoute ? 404 : 503; }

}  // namespace handfast
