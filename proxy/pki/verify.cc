#include "proxy/pki/verify.h"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/names.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/strength.h"

namespace handfast::pki {
namespace {

// No honest chain is longer; keeps depth + 2 far from overflow.
constexpr int kMaxDepth = 100;
// Other ways that are tried where the peer shows several certificates of one authority.
constexpr int kMostDetours = 4;

struct Request {
  X509* leaf;
  STACK_OF(X509) * untrusted;
  std::span<const std::shared_ptr<const CaBundle>> trust;
  std::span<const std::shared_ptr<const CrlSet>> crls;
  const VerifyRules& rules;
  UnixSeconds now;
  const Staple& staple;
};

Verdict refuse(Reason reason, int openssl_error, std::string detail) {
  // A verdict that isn't Ok never carries X509_V_OK: the handshake's alert is made from it.
  const int error = openssl_error != X509_V_OK ? openssl_error : X509_V_ERR_UNSPECIFIED;
  return {reason, std::move(detail), error, 0};
}

std::string certificate_text(X509* certificate, int depth) {
  std::string text = depth == 0 ? "the peer's certificate" : "certificate " + std::to_string(depth);
  if (certificate == nullptr) return text;
  return text + " (" + printable(name_text(X509_get_subject_name(certificate))) + ", serial " +
         printable(serial_text(X509_get0_serialNumber(certificate)), 64) + ")";
}

Reason reason_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Reason::Expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Reason::NotYetValid;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return Reason::ChainTooLong;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
      return Reason::Weak;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_NON_CA:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
    case X509_V_ERR_INVALID_EXTENSION:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE:
    case X509_V_ERR_PROXY_CERTIFICATES_NOT_ALLOWED:
      return Reason::WrongPurpose;
    default:
      // No path to an anchor, a signature that doesn't verify, a name that the authority may not
      // vouch for, and whatever OpenSSL adds later: not trusted.
      return Reason::UntrustedIssuer;
  }
}

// What X509_verify_cert finds after the place where names are judged: such an error yields to
// NameMismatch, and the chain that it speaks of is complete.
bool is_late(int error) {
  switch (error) {
    case X509_V_OK:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return true;
    default:
      return false;
  }
}

std::string advice(Reason reason, const VerifyRules& rules) {
  switch (reason) {
    case Reason::ChainTooLong:
      return ": more than " + std::to_string(rules.depth) +
             " intermediates between it and an authority; raise the verify depth if that is meant";
    case Reason::UntrustedIssuer:
      return ": check the CA, and that the peer sends its intermediates";
    default:
      return {};
  }
}

// The united trust of more than one bundle; null if there is no anchor at all.
BorrowedX509StackPtr anchors_of(const Request& request) {
  BorrowedX509StackPtr anchors{sk_X509_new_null()};
  check(anchors != nullptr);
  if (request.rules.pin_only) check(sk_X509_push(anchors.get(), request.leaf) > 0);
  for (const auto& bundle : request.trust) {
    if (bundle == nullptr) continue;
    for (const X509Ptr& anchor : bundle->anchors()) {
      check(sk_X509_push(anchors.get(), anchor.get()) > 0);
    }
  }
  return sk_X509_num(anchors.get()) > 0 ? std::move(anchors) : nullptr;
}

void set_parameters(X509_STORE_CTX* context, const Request& request) {
  const bool server = request.rules.purpose == Purpose::Server;
  check(X509_STORE_CTX_set_default(context, server ? "ssl_server" : "ssl_client") == 1);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context);
  // PARTIAL_CHAIN: an anchor need not be a root. No CRL flag: revocation is judged by our own
  // index.
  check(X509_VERIFY_PARAM_set_flags(parameters,
                                    X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) == 1);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_depth(parameters, std::clamp(request.rules.depth, 0, kMaxDepth));
  X509_VERIFY_PARAM_set_time(parameters, request.now);
  // Also keeps the CN out of name constraints.
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
}

std::string joined(std::span<const std::string> names) {
  constexpr std::size_t kShown = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    if (i > 0) text += ", ";
    text += printable(names[i]);
  }
  return names.size() > kShown ? text + ", …" : text;
}

// Names are judged here and not by X509_VERIFY_PARAM: that one knows no URI, and asks for a host
// *and* an address where both are set.
std::optional<Verdict> judge_names(const Request& request) {
  const VerifyRules& rules = request.rules;
  if (rules.names_not_judged) return std::nullopt;
  if (rules.names.empty()) {
    if (rules.purpose == Purpose::Client || rules.pin_only) return std::nullopt;
    return refuse(Reason::NameMismatch, X509_V_ERR_HOSTNAME_MISMATCH,
                  "no name is expected, so none can be proved: give an expected name");
  }
  for (const std::string& name : rules.names) {
    if (proves_name(*request.leaf, name)) return std::nullopt;
  }
  const bool address = name_kind(rules.names.front()) == NameKind::Ip;
  const std::vector<std::string> names = subject_alt_names(*request.leaf);
  return refuse(Reason::NameMismatch,
                address ? X509_V_ERR_IP_ADDRESS_MISMATCH : X509_V_ERR_HOSTNAME_MISMATCH,
                "expected " + joined(rules.names) + "; the peer's certificate is for " +
                    (names.empty() ? "no name (it has no subject alternative name of type DNS, IP "
                                     "or URI; the CN doesn't count)"
                                   : joined(names)));
}

std::optional<Verdict> judge_pins(const Request& request) {
  const VerifyRules& rules = request.rules;
  if (rules.pins.empty() && !rules.pin_only) return std::nullopt;
  if (is_pinned(*request.leaf, rules.pins)) return std::nullopt;
  const auto key = spki_sha256(*request.leaf);
  return refuse(Reason::PinMismatch, X509_V_ERR_CERT_REJECTED,
                certificate_text(request.leaf, 0) + " has none of the " +
                    std::to_string(rules.pins.size()) +
                    " pins; SHA-256 of its key: " + (key ? sha256_text(*key) : "unreadable") +
                    ", of itself: " + sha256_text(certificate_sha256(*request.leaf)));
}

// What OpenSSL's security level leaves out: kinds of keys.
std::optional<Verdict> judge_strength(STACK_OF(X509) * chain) {
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* certificate = sk_X509_value(chain, i);
    const EVP_PKEY* key = X509_get0_pubkey(certificate);
    const auto why = i == 0 ? key_unusable_in_tls(key) : key_weakness(key);
    if (why) {
      return refuse(Reason::Weak,
                    i == 0 ? X509_V_ERR_EE_KEY_TOO_SMALL : X509_V_ERR_CA_KEY_TOO_SMALL,
                    certificate_text(certificate, i) + " " + *why);
    }
  }
  return std::nullopt;
}

Verdict refuse_uncovered(const CrlSet::Coverage& coverage, X509* certificate, int depth) {
  std::string detail = certificate_text(certificate, depth) + " " + coverage.detail;
  switch (coverage.answer) {
    case CrlSet::Answer::Revoked:
      return refuse(Reason::Revoked, X509_V_ERR_CERT_REVOKED, std::move(detail));
    case CrlSet::Answer::Expired:
      return refuse(Reason::CrlExpired, X509_V_ERR_CRL_HAS_EXPIRED, std::move(detail));
    case CrlSet::Answer::NotYetValid:
      return refuse(Reason::CrlNotYetValid, X509_V_ERR_CRL_NOT_YET_VALID, std::move(detail));
    case CrlSet::Answer::Good:
    case CrlSet::Answer::NotCovered:
      break;
  }
  return refuse(Reason::CrlMissing, X509_V_ERR_UNABLE_TO_GET_CRL,
                certificate_text(certificate, depth) + ": " + coverage.detail);
}

void lower(UnixSeconds& earliest, UnixSeconds time) {
  if (time != 0 && (earliest == 0 || time < earliest)) earliest = time;
}

// The issuer of the i-th, who may be the peer's certificate itself.
X509* issuer_in(STACK_OF(X509) * chain, int i) {
  return sk_X509_value(chain, std::min(i + 1, sk_X509_num(chain) - 1));
}

void judge_crls(const Request& request, STACK_OF(X509) * chain, Verdict& verdict) {
  const VerifyRules& rules = request.rules;
  if (rules.crl_scope == CrlScope::Off) return;
  // The peer's own certificate is judged even if it is the anchor, by its own list if it has one.
  const int judged = rules.crl_scope == CrlScope::Leaf ? 1 : std::max(sk_X509_num(chain) - 1, 1);
  for (int i = 0; i < judged; ++i) {
    X509* certificate = sk_X509_value(chain, i);
    const auto coverage =
        CrlSet::check(request.crls, *certificate, *issuer_in(chain, i), request.now);
    if (coverage.answer == CrlSet::Answer::Good) {
      lower(verdict.valid_until, coverage.next_update);
      continue;
    }
    if (coverage.answer != CrlSet::Answer::Revoked && rules.crl_scope == CrlScope::Listed) {
      lower(verdict.valid_until, coverage.next_update);
      continue;
    }
    Verdict refused = refuse_uncovered(coverage, certificate, i);
    if (refused.reason != Reason::Revoked && rules.allow_without_crl) {
      // The rest is looked at all the same: it may be revoked.
      lower(verdict.valid_until, coverage.next_update);
      verdict.crl_skipped = refused.reason;
      verdict.detail = std::move(refused.detail);
      continue;
    }
    verdict = std::move(refused);
    return;
  }
}

void judge_staple(const Request& request, STACK_OF(X509) * chain, Verdict& verdict) {
  const auto& [mode, response] = request.staple;
  if (mode == OcspMode::Off) return;
  X509* leaf = sk_X509_value(chain, 0);
  if (response.empty()) {
    if (mode == OcspMode::IfPresent && !must_staple(*leaf)) return;
    verdict =
        refuse(Reason::Ocsp, X509_V_ERR_OCSP_VERIFY_NEEDED,
               certificate_text(leaf, 0) + " came without the OCSP response that is demanded");
    return;
  }
  OcspVerdict judged = judge_ocsp(response, *leaf, *issuer_in(chain, 0), request.crls, request.now);
  if (judged.reason != Reason::Ok) {
    verdict = refuse(
        judged.reason,
        judged.reason == Reason::Revoked ? X509_V_ERR_CERT_REVOKED : X509_V_ERR_OCSP_VERIFY_FAILED,
        std::move(judged.detail));
    return;
  }
  lower(verdict.valid_until, judged.valid_until);
}

// `chain` was verified: signatures hold, the last is the anchor.
Verdict judge_revocation(const Request& request, STACK_OF(X509) * chain) {
  Verdict verdict;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    lower(verdict.valid_until, to_unix(X509_get0_notAfter(sk_X509_value(chain, i))).value_or(0));
  }
  judge_crls(request, chain, verdict);
  if (verdict.ok()) judge_staple(request, chain, verdict);
  return verdict;
}

int count_of_name(const STACK_OF(X509) * certificates, const X509_NAME* name) {
  int count = 0;
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    if (X509_NAME_cmp(X509_get_subject_name(sk_X509_value(certificates, i)), name) == 0) ++count;
  }
  return count;
}

// This very object: another may look the same and have come from somewhere else.
bool drop(STACK_OF(X509) * certificates, const X509* certificate) {
  for (int i = 0; i < sk_X509_num(certificates); ++i) {
    if (sk_X509_value(certificates, i) != certificate) continue;
    sk_X509_delete(certificates, i);
    return true;
  }
  return false;
}

// A rollover: authorities of one name, each with a key of its own, and a certificate that doesn't
// say which of them signed it. OpenSSL takes the first and never goes back. Takes that one out of
// the anchors and answers true if its key isn't the one and there are others to try.
bool drop_namesake(STACK_OF(X509) * anchors, STACK_OF(X509) * chain) {
  for (int i = 0; i + 1 < sk_X509_num(chain); ++i) {
    X509* const issuer = sk_X509_value(chain, i + 1);
    if (count_of_name(anchors, X509_get_subject_name(issuer)) < 2) continue;
    EVP_PKEY* const key = X509_get0_pubkey(issuer);
    if (key != nullptr && X509_verify(sk_X509_value(chain, i), key) == 1) continue;
    if (drop(anchors, issuer)) return true;
  }
  return false;
}

// An intermediate that several authorities signed, and the peer shows its certificates: OpenSSL
// takes one of them and never goes back. Takes the highest that has another of its name out of what
// was shown; false: there is none.
bool drop_cross_certificate(STACK_OF(X509) * shown, const STACK_OF(X509) * chain) {
  for (int i = sk_X509_num(chain) - 1; i > 0; --i) {
    const X509* const taken = sk_X509_value(chain, i);
    if (count_of_name(shown, X509_get_subject_name(taken)) > 1 && drop(shown, taken)) return true;
  }
  return false;
}

Verdict judge_chain(const Request& request, X509_STORE_CTX* context, bool verified) {
  int error = X509_STORE_CTX_get_error(context);
  if (!verified && error == X509_V_OK) error = X509_V_ERR_UNSPECIFIED;
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context);
  if (is_late(error)) {
    if (auto verdict = judge_strength(chain)) return std::move(*verdict);
    if (auto verdict = judge_names(request)) return std::move(*verdict);
    if (auto verdict = judge_pins(request)) return std::move(*verdict);
  }
  if (!verified || error != X509_V_OK || sk_X509_num(chain) < 1) {
    const Reason reason = reason_of(error);
    X509* const certificate = X509_STORE_CTX_get_current_cert(context);
    std::string text = certificate_text(certificate, X509_STORE_CTX_get_error_depth(context)) + ' ';
    // Of a key that it doesn't know OpenSSL says that it is too small.
    const auto unread = certificate == nullptr ? std::nullopt : unreadable_key(*certificate);
    if (reason == Reason::Weak && unread) return refuse(reason, error, text + *unread);
    text.back() = ':';
    return refuse(
        reason, error,
        text + ' ' + X509_verify_cert_error_string(error) + advice(reason, request.rules));
  }
  return judge_revocation(request, chain);
}

Verdict judge_ways(const Request& request, STACK_OF(X509) * anchors) {
  // One bundle's store finds an issuer by its name; a union is searched from end to end.
  X509_STORE* store = request.trust.size() == 1 ? request.trust.front()->store() : nullptr;
  STACK_OF(X509)* shown = request.rules.pin_only ? nullptr : request.untrusted;
  BorrowedX509StackPtr shown_less;
  std::optional<Verdict> direct;  // of the way that OpenSSL took, if others were tried
  for (int detours = 0;;) {
    const X509StoreCtxPtr context{X509_STORE_CTX_new()};
    check(context != nullptr);
    check(X509_STORE_CTX_init(context.get(), store, request.leaf, shown) == 1);
    if (store == nullptr) X509_STORE_CTX_set0_trusted_stack(context.get(), anchors);
    set_parameters(context.get(), request);
    const bool verified = X509_verify_cert(context.get()) == 1;
    if (verified) return judge_chain(request, context.get(), verified);
    STACK_OF(X509)* const chain = X509_STORE_CTX_get0_chain(context.get());
    if (drop_namesake(anchors, chain)) {
      store = nullptr;  // it has the one that was dropped
      continue;
    }
    if (!direct) direct = judge_chain(request, context.get(), verified);
    if (shown_less == nullptr && shown != nullptr) {
      shown_less.reset(sk_X509_dup(shown));
      check(shown_less != nullptr);
      shown = shown_less.get();
    }
    if (detours++ == kMostDetours || !drop_cross_certificate(shown, chain))
      return *std::move(direct);
  }
}

}  // namespace

Verdict verify_chain(X509* leaf, STACK_OF(X509) * untrusted,
                     const std::vector<std::shared_ptr<const CaBundle>>& trust,
                     const std::vector<std::shared_ptr<const CrlSet>>& crls,
                     const VerifyRules& rules, UnixSeconds now, const Staple& staple) {
  const CleanErrorQueue clean;
  const Request request{leaf, untrusted, trust, crls, rules, now, staple};
  if (leaf == nullptr) {
    return refuse(
        rules.purpose == Purpose::Client ? Reason::NoClientCertificate : Reason::UntrustedIssuer,
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "the peer sent no certificate");
  }
  if (rules.pin_only && (!trust.empty() || !crls.empty() || rules.crl_scope != CrlScope::Off ||
                         staple.mode != OcspMode::Off)) {
    return refuse(Reason::UntrustedIssuer, X509_V_ERR_UNSPECIFIED,
                  "a pin stands alone, but there is something of an issuer to judge by");
  }
  const BorrowedX509StackPtr anchors = anchors_of(request);
  if (anchors == nullptr) {
    return refuse(Reason::UntrustedIssuer, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                  "no certificate authority is trusted here");
  }
  return judge_ways(request, anchors.get());
}

}  // namespace handfast::pki
