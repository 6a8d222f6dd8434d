#pragma once
// A stapled OCSP response (RFC 6960, RFC 6066 section 8), judged for one certificate.
//
// Believed is what the issuer itself signed, or a responder whom it certified for just that: a
// certificate that the issuer's own key signed, for id-kp-OCSPSigning, in date, strong, and not
// revoked by a CRL that we have (unless it says id-pkix-ocsp-nocheck). Nothing of it is looked up:
// whoever signed must be in the response or be the issuer.
//
// A response without nextUpdate is refused: an old one couldn't be told from a fresh one. A
// revocation condemns even from a response that is out of date, as an expired CRL's does. Times are
// compared with kOcspSkew, since responders and we have different clocks.
//
// Pure; thread-safe. `issuer` must come from a chain that was verified.

#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {

inline constexpr UnixSeconds kOcspSkew = 300;

// What is demanded of a peer. IfPresent is Require for a certificate that says "must staple"
// (RFC 7633).
enum class OcspMode : std::uint8_t { Off, IfPresent, Require };

struct OcspVerdict {
  Reason reason = Reason::Ok;  // Revoked; Ocsp: it vouches for nothing
  std::string detail;
  UnixSeconds valid_until = 0;  // 0 unless Ok
};

// Whether the certificate demands a stapled response.
[[nodiscard]] bool must_staple(const X509& certificate);

[[nodiscard]] OcspVerdict judge_ocsp(std::span<const unsigned char> response,
                                     const X509& certificate, const X509& issuer,
                                     std::span<const std::shared_ptr<const CrlSet>> crls,
                                     UnixSeconds now);

// The same of a certificate of ours, for which no CRL is asked. `intermediates`: as they are sent;
// without the issuer among them, the response vouches for nothing.
[[nodiscard]] OcspVerdict judge_own_ocsp(std::span<const unsigned char> response,
                                         const X509& certificate,
                                         const STACK_OF(X509) * intermediates, UnixSeconds now);

// What to ask a responder about a certificate of ours.
struct OcspQuestion {
  std::string url;      // of the responder, as the certificate names it
  std::string request;  // DER; by SHA-1, which every responder knows (RFC 5019 section 2.1.1)
};
// Nothing: it names no responder by http://, or its issuer is not among the intermediates.
[[nodiscard]] std::optional<OcspQuestion> ocsp_question(const X509& certificate,
                                                        const STACK_OF(X509) * intermediates);

}  // namespace handfast::pki
