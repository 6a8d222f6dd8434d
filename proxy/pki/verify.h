#pragma once
// The one verifier: a peer's chain against trust and rules, answered with one word.
//
// Called in the handshake (instead of X509_verify_cert), when trust changes, by preflight and by
// `handfast verify`. It sets purpose, security level and names itself, never relies on openssl.cnf,
// and never looks at a CN. Pure: no clock, no I/O; thread-safe; ~0.2 ms.
//
// Which reason wins, when several apply: chain building (UntrustedIssuer, ChainTooLong), then
// purpose and extensions (WrongPurpose; a pathlen exceeded too), strength (Weak), names
// (NameMismatch), pins (PinMismatch), signatures, dates and name constraints (UntrustedIssuer,
// Expired, NotYetValid), revocation last (Revoked, Crl*), judged on a chain whose signatures hold.
//
// Of several authorities of one name (a rollover) the one that signed counts, whether or not the
// certificate says which it was. Where the peer shows several certificates of an intermediate
// (cross-certificates), a few ways are tried; if all fail, the verdict is the first one's.
//
// An anchor need not be a root. It is believed as it stands: no CRL is asked about it, unless it is
// the peer's own certificate.
//
// With `pin_only` the peer's certificate is its own anchor once a pin says that it is the right
// one:
// - That it holds the key is the handshake's proof; with a pin of the key that is all that is
// known,
//   since whoever holds it can sign any certificate for it.
// - Everything that is said of the leaf itself is judged all the same: dates, key usage,
// serverAuth,
//   unknown critical extensions, the kind and length of its key, and names if some are expected.
// - Who signed it, and how, proves nothing and is not judged; intermediates are not looked at.
// - Nothing may be asked of an issuer: no trust, no CRL, no stapled response. Whoever combines them
// is refused
//   (UntrustedIssuer), because a rule that can't be judged must not pass for one that was.

#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/pki/ocsp.h"
#include "proxy/pki/pins.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {

enum class Purpose : std::uint8_t { Server, Client };
// Which certificates a list must cover. Listed: none, but whichever a list names is refused.
enum class CrlScope : std::uint8_t { Off, Listed, Leaf, Chain };

struct VerifyRules {
  Purpose purpose = Purpose::Server;
  int depth = 4;  // intermediates allowed between leaf and anchor
  // Any one is enough: DNS name, IP address, or URI ("spiffe://…", the same bytes as in the SAN).
  // Empty with Purpose::Server is NameMismatch.
  std::vector<std::string> names;
  // Only for `handfast verify` without --name: no name is judged, whatever `names` holds. Never set
  // for a connection.
  bool names_not_judged = false;
  CrlScope crl_scope = CrlScope::Off;
  // A certificate that no list in date covers passes, and the verdict says so; a revoked one never.
  bool allow_without_crl = false;
  // Any one must be the leaf's; empty: not looked at, but with pin_only PinMismatch.
  std::vector<Pin> pins;
  bool pin_only = false;
};

struct Verdict {
  Reason reason = Reason::Ok;
  std::string detail;     // for the operator: which certificate, what is wrong or was let through
  int openssl_error = 0;  // X509_V_*: what the handshake's alert is made from
  // The earliest time at which something that this verdict rests on expires (certificates of the
  // chain; CRL nextUpdate). 0 unless Ok.
  UnixSeconds valid_until = 0;
  // Why a certificate would have been refused but for allow_without_crl, if one would.
  Reason crl_skipped = Reason::Ok;
  // Why the peer would have been refused but for an audit (tls::UpstreamPolicy), and the sentence.
  Reason would_refuse = Reason::Ok;
  [[nodiscard]] bool ok() const noexcept { return reason == Reason::Ok; }
};

// What the peer stapled to its certificate, and what is demanded of it. Borrowed.
struct Staple {
  OcspMode mode = OcspMode::Off;
  std::span<const unsigned char> response;  // empty: none
};

// `untrusted` may be null; may hold the leaf too. Several CaBundles and CrlSets are united; null
// ones are skipped. No trust at all is UntrustedIssuer. A null leaf (the peer presented nothing) is
// NoClientCertificate for Purpose::Client, else UntrustedIssuer. Borrows everything; the error
// queue of the thread is left empty.
[[nodiscard]] Verdict verify_chain(X509* leaf, STACK_OF(X509) * untrusted,
                                   const std::vector<std::shared_ptr<const CaBundle>>& trust,
                                   const std::vector<std::shared_ptr<const CrlSet>>& crls,
                                   const VerifyRules& rules, UnixSeconds now,
                                   const Staple& staple = {});

}  // namespace handfast::pki
