#pragma once
// The one verifier: a peer's chain against trust and rules, answered with one word.
//
// Called in the handshake (instead of X509_verify_cert), when trust changes, by preflight and by
// `handfast verify`. It sets purpose, security level and names itself, never relies on openssl.cnf,
// and never looks at a CN. Pure: no clock, no I/O; thread-safe; ~0.2 ms.
//
// Which reason wins, when several apply: chain building (UntrustedIssuer, ChainTooLong), then
// purpose and extensions (WrongPurpose), strength (Weak), names (NameMismatch), signatures and dates
// (UntrustedIssuer, Expired, NotYetValid), revocation last (Revoked, Crl*), judged on a chain whose
// signatures hold.

#include <openssl/x509.h>

#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {

enum class Purpose : std::uint8_t { Server, Client };
enum class CrlScope : std::uint8_t { Off, Leaf, Chain };

struct VerifyRules {
  Purpose purpose = Purpose::Server;
  int depth = 4;                   // intermediates allowed between leaf and anchor
  std::vector<std::string> names;  // any one: DNS or IP; empty with Purpose::Server is NameMismatch
  CrlScope crl_scope = CrlScope::Off;
};

struct Verdict {
  Reason reason = Reason::Ok;
  std::string detail;  // for the operator: which certificate, what is wrong
  int openssl_error = 0;  // X509_V_*: what the handshake's alert is made from
  // The earliest time at which something that this verdict rests on expires (certificates of the
  // chain; CRL nextUpdate). 0 unless Ok.
  UnixSeconds valid_until = 0;
  [[nodiscard]] bool ok() const noexcept { return reason == Reason::Ok; }
};

// `untrusted` may be null; may hold the leaf too. Several CaBundles and CrlSets are united.
[[nodiscard]] Verdict verify_chain(X509* leaf, STACK_OF(X509) * untrusted,
                                   const std::vector<std::shared_ptr<const CaBundle>>& trust,
                                   const std::vector<std::shared_ptr<const CrlSet>>& crls,
                                   const VerifyRules& rules, UnixSeconds now);

}  // namespace handfast::pki
