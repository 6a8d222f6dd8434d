#include "proxy/pki/ocsp.h"

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/strength.h"

namespace handfast::pki {
namespace {

using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, OpensslDeleter<OCSP_RESPONSE_free>>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, OpensslDeleter<OCSP_BASICRESP_free>>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, OpensslDeleter<OCSP_CERTID_free>>;
using TlsFeaturePtr = std::unique_ptr<TLS_FEATURE, OpensslDeleter<TLS_FEATURE_free>>;

// status_request: RFC 7633 section 4.
constexpr long kStatusRequest = 5;
constexpr int kWeakDigestBytes = 20;  // SHA-1

OcspVerdict refuse(std::string why) {
  return {Reason::Ocsp, "the stapled OCSP response " + std::move(why), 0};
}

struct DeleteUrls {
  void operator()(STACK_OF(OPENSSL_STRING) * urls) const { X509_email_free(urls); }
};
using UrlsPtr = std::unique_ptr<STACK_OF(OPENSSL_STRING), DeleteUrls>;
using RequestPtr = std::unique_ptr<OCSP_REQUEST, OpensslDeleter<OCSP_REQUEST_free>>;

const X509* issuer_of(const X509& certificate, const STACK_OF(X509) * intermediates) {
  for (int i = 0; i < sk_X509_num(intermediates); ++i) {
    X509* const one = sk_X509_value(intermediates, i);
    if (X509_check_issued(one, const_cast<X509*>(&certificate)) == X509_V_OK) return one;
  }
  return nullptr;
}

// One answer about our certificate.
struct Single {
  int status = -1;
  int reason = -1;
  UnixSeconds revoked_at = 0;
  UnixSeconds this_update = 0;
  UnixSeconds next_update = 0;  // 0: none
};

class Judge {
 public:
  Judge(const OCSP_BASICRESP& basic, const X509& certificate, const X509& issuer,
        std::span<const std::shared_ptr<const CrlSet>> crls, UnixSeconds now)
      : basic_(const_cast<OCSP_BASICRESP*>(&basic)),
        certificate_(const_cast<X509*>(&certificate)),
        issuer_(const_cast<X509*>(&issuer)),
        crls_(crls),
        now_(now) {}

  OcspVerdict run() {
    if (auto why = critical_extension()) return refuse(std::move(*why));
    if (auto why = unsigned_by_responder()) return refuse(std::move(*why));
    const std::vector<Single> singles = about_us();
    if (singles.empty()) return refuse("isn't about this certificate");
    return judge(singles);
  }

 private:
  [[nodiscard]] std::optional<std::string> critical_extension() const {
    for (int i = 0; i < OCSP_BASICRESP_get_ext_count(basic_); ++i) {
      if (X509_EXTENSION_get_critical(OCSP_BASICRESP_get_ext(basic_, i)) != 0) {
        return "has a critical extension that is not understood";
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] bool is_signed_with(X509* signer) const {
    EVP_PKEY* key = X509_get0_pubkey(signer);
    return key != nullptr &&
           ASN1_item_verify(ASN1_ITEM_rptr(OCSP_RESPDATA), OCSP_resp_get0_tbs_sigalg(basic_),
                            OCSP_resp_get0_signature(basic_), OCSP_resp_get0_respdata(basic_),
                            key) == 1;
  }

  [[nodiscard]] bool has_weak_digest() const {
    int digest = NID_undef;
    const int algorithm = OBJ_obj2nid(OCSP_resp_get0_tbs_sigalg(basic_)->algorithm);
    if (OBJ_find_sigid_algs(algorithm, &digest, nullptr) != 1) return true;
    const EVP_MD* known = EVP_get_digestbynid(digest);  // none: RSA-PSS, Ed25519
    return known != nullptr && EVP_MD_get_size(known) <= kWeakDigestBytes;
  }

  [[nodiscard]] bool is_responder(X509* candidate) const {
    const ASN1_OCTET_STRING* key_hash = nullptr;
    const X509_NAME* name = nullptr;
    if (OCSP_resp_get0_id(basic_, &key_hash, &name) != 1) return false;
    if (name != nullptr) return X509_NAME_cmp(name, X509_get_subject_name(candidate)) == 0;
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    return key_hash != nullptr &&
           X509_pubkey_digest(candidate, EVP_sha1(), digest.data(), &size) == 1 &&
           string_bytes(key_hash) ==
               std::string_view(reinterpret_cast<const char*>(digest.data()), size);
  }

  // Why the issuer didn't let this one speak for it.
  [[nodiscard]] std::optional<std::string> not_delegated(X509* responder) {
    const std::string who =
        "is signed by " + printable(name_text(X509_get_subject_name(responder))) + ", which ";
    if (X509_check_purpose(responder, -1, 0) != 1 ||
        (X509_get_extension_flags(responder) & (EXFLAG_INVALID | EXFLAG_CRITICAL)) != 0) {
      return who + "has extensions that can't be read";
    }
    if (X509_check_issued(issuer_, responder) != X509_V_OK ||
        X509_verify(responder, X509_get0_pubkey(issuer_)) != 1) {
      return who + "the issuer of the peer's certificate didn't certify";
    }
    const bool for_ocsp = (X509_get_extension_flags(responder) & EXFLAG_XKUSAGE) != 0 &&
                          (X509_get_extended_key_usage(responder) & XKU_OCSP_SIGN) != 0 &&
                          (X509_get_key_usage(responder) & KU_DIGITAL_SIGNATURE) != 0;
    if (!for_ocsp) return who + "may not sign responses (extended key usage OCSPSigning)";
    const auto from = to_unix(X509_get0_notBefore(responder));
    const auto until = to_unix(X509_get0_notAfter(responder));
    if (!from || !until || now_ < *from || now_ > *until) return who + "is not valid at this time";
    vouched_until_ = *until;
    auto weak = key_weakness(X509_get0_pubkey(responder));
    if (!weak) weak = signature_weakness(responder);
    if (weak) return who + *weak;
    if (X509_get_ext_by_NID(responder, NID_id_pkix_OCSP_noCheck, -1) >= 0) return std::nullopt;
    const auto coverage = CrlSet::check(crls_, *responder, *issuer_, now_);
    if (coverage.answer == CrlSet::Answer::Revoked) return who + coverage.detail;
    return std::nullopt;
  }

  [[nodiscard]] std::optional<std::string> unsigned_by_responder() {
    if (has_weak_digest()) return "has a signature that is too weak or not known";
    if (is_responder(issuer_) && is_signed_with(issuer_)) return std::nullopt;
    const STACK_OF(X509)* certificates = OCSP_resp_get0_certs(basic_);
    for (int i = 0; i < sk_X509_num(certificates); ++i) {
      X509* candidate = sk_X509_value(certificates, i);
      if (is_responder(candidate) && is_signed_with(candidate)) return not_delegated(candidate);
    }
    return "is signed neither by the issuer nor by a responder that it names";
  }

  // With the digest that the responder chose for its names of certificates.
  [[nodiscard]] bool is_about_us(OCSP_SINGLERESP* single) const {
    const auto* id = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT* digest = nullptr;
    OCSP_id_get0_info(nullptr, &digest, nullptr, nullptr, const_cast<OCSP_CERTID*>(id));
    const EVP_MD* known = digest != nullptr ? EVP_get_digestbyobj(digest) : nullptr;
    if (known == nullptr) return false;
    const CertIdPtr ours{OCSP_cert_to_id(known, certificate_, issuer_)};
    return ours != nullptr && OCSP_id_cmp(ours.get(), id) == 0;
  }

  [[nodiscard]] std::vector<Single> about_us() const {
    std::vector<Single> found;
    for (int i = 0; i < OCSP_resp_count(basic_); ++i) {
      OCSP_SINGLERESP* single = OCSP_resp_get0(basic_, i);
      bool critical = false;
      for (int e = 0; e < OCSP_SINGLERESP_get_ext_count(single); ++e) {
        critical = critical || X509_EXTENSION_get_critical(OCSP_SINGLERESP_get_ext(single, e)) != 0;
      }
      if (critical || !is_about_us(single)) continue;
      ASN1_GENERALIZEDTIME* revoked_at = nullptr;
      ASN1_GENERALIZEDTIME* from = nullptr;
      ASN1_GENERALIZEDTIME* until = nullptr;
      Single one;
      one.status = OCSP_single_get0_status(single, &one.reason, &revoked_at, &from, &until);
      const auto begin = from != nullptr ? to_unix(from) : std::nullopt;
      const auto end = until != nullptr ? to_unix(until) : UnixSeconds{0};
      if (!begin || !end) continue;
      one.this_update = *begin;
      one.next_update = *end;
      if (revoked_at != nullptr) one.revoked_at = to_unix(revoked_at).value_or(0);
      found.push_back(one);
    }
    return found;
  }

  [[nodiscard]] OcspVerdict judge(const std::vector<Single>& singles) const {
    for (const Single& one : singles) {
      if (one.status == V_OCSP_CERTSTATUS_REVOKED && one.this_update <= now_ + kOcspSkew) {
        return {Reason::Revoked,
                "the peer's certificate was revoked " + rfc3339(one.revoked_at) +
                    " by its issuer's OCSP responder",
                0};
      }
    }
    const Single& newest = *std::ranges::max_element(singles, {}, &Single::this_update);
    if (newest.status != V_OCSP_CERTSTATUS_GOOD) {
      return refuse("doesn't know the peer's certificate");
    }
    if (newest.this_update > now_ + kOcspSkew) {
      return refuse("is valid only from " + rfc3339(newest.this_update));
    }
    if (newest.next_update == 0) return refuse("has no nextUpdate, so it may be an old one");
    if (now_ > newest.next_update + kOcspSkew) {
      return refuse("expired " + rfc3339(newest.next_update) +
                    ": the backend must fetch a fresh one");
    }
    const UnixSeconds end = newest.next_update + kOcspSkew;
    return {Reason::Ok, {}, vouched_until_ == 0 ? end : std::min(end, vouched_until_)};
  }

  OCSP_BASICRESP* basic_;
  X509* certificate_;
  X509* issuer_;
  std::span<const std::shared_ptr<const CrlSet>> crls_;
  UnixSeconds now_;
  UnixSeconds vouched_until_ = 0;  // the end of a delegated responder's certificate
};

}  // namespace

bool must_staple(const X509& certificate) {
  const CleanErrorQueue clean;
  int critical = -1;
  const TlsFeaturePtr features{static_cast<TLS_FEATURE*>(
      X509_get_ext_d2i(&certificate, NID_tlsfeature, &critical, nullptr))};
  // One that is there and can't be read demands we don't know what.
  if (features == nullptr) return critical != -1;
  for (int i = 0; i < sk_ASN1_INTEGER_num(features.get()); ++i) {
    if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features.get(), i)) == kStatusRequest) return true;
  }
  return false;
}

OcspVerdict judge_ocsp(std::span<const unsigned char> response, const X509& certificate,
                       const X509& issuer, std::span<const std::shared_ptr<const CrlSet>> crls,
                       UnixSeconds now) {
  const CleanErrorQueue clean;
  const unsigned char* cursor = response.data();
  const ResponsePtr decoded{
      d2i_OCSP_RESPONSE(nullptr, &cursor, static_cast<long>(response.size()))};
  if (!decoded || cursor != response.data() + response.size()) return refuse("can't be decoded");
  if (const int status = OCSP_response_status(decoded.get());
      status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return refuse(std::string("is a refusal of the responder: ") +
                  OCSP_response_status_str(status));
  }
  const BasicPtr basic{OCSP_response_get1_basic(decoded.get())};
  if (!basic) return refuse("is of a kind that is not known");
  return Judge(*basic, certificate, issuer, crls, now).run();
}

OcspVerdict judge_own_ocsp(std::span<const unsigned char> response, const X509& certificate,
                           const STACK_OF(X509) * intermediates, UnixSeconds now) {
  const X509* const issuer = issuer_of(certificate, intermediates);
  if (issuer == nullptr) return refuse("can't be checked: the issuer isn't in the chain");
  return judge_ocsp(response, certificate, *issuer, {}, now);
}

std::optional<OcspQuestion> ocsp_question(const X509& certificate,
                                          const STACK_OF(X509) * intermediates) {
  const CleanErrorQueue clean;
  const X509* const issuer = issuer_of(certificate, intermediates);
  if (issuer == nullptr) return std::nullopt;
  const UrlsPtr urls{X509_get1_ocsp(const_cast<X509*>(&certificate))};
  OcspQuestion question;
  for (int i = 0; i < sk_OPENSSL_STRING_num(urls.get()) && question.url.empty(); ++i) {
    const std::string_view url = sk_OPENSSL_STRING_value(urls.get(), i);
    if (url.starts_with("http://")) question.url = url;
  }
  if (question.url.empty()) return std::nullopt;
  const RequestPtr request{OCSP_REQUEST_new()};
  OCSP_CERTID* const id = OCSP_cert_to_id(EVP_sha1(), &certificate, issuer);
  if (request == nullptr || id == nullptr ||
      OCSP_request_add0_id(request.get(), id) == nullptr) {  // which owns it then
    return std::nullopt;
  }
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &der);
  if (size <= 0) return std::nullopt;
  question.request.assign(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return question;
}

}  // namespace handfast::pki
