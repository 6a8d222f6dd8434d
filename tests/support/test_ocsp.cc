#include "tests/support/test_ocsp.h"

#include <openssl/ocsp.h>

#include <memory>

#include "proxy/base/check.h"

namespace handfast::testing {
namespace {

int number_of(OcspOptions::Status status) {
  switch (status) {
    case OcspOptions::Status::Good:
      return V_OCSP_CERTSTATUS_GOOD;
    case OcspOptions::Status::Revoked:
      return V_OCSP_CERTSTATUS_REVOKED;
    case OcspOptions::Status::Unknown:
      break;
  }
  return V_OCSP_CERTSTATUS_UNKNOWN;
}

std::string der_of(OCSP_RESPONSE* response) {
  check(response != nullptr, "OCSP response");
  const std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)> owned(response,
                                                                            OCSP_RESPONSE_free);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  check(size > 0, "OCSP response");
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace

std::string ocsp_response(const TestAuthority& issuer, const TestCertificate& certificate,
                          const OcspOptions& options) {
  if (options.try_later) {
    return der_of(OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, nullptr));
  }
  const std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)> basic(OCSP_BASICRESP_new(),
                                                                              OCSP_BASICRESP_free);
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_get_digestbyname(options.id_digest.c_str()),
                                    certificate.x509(), issuer.certificate().x509());
  ASN1_TIME* from = ASN1_TIME_adj(nullptr, options.this_update, 0, 0);
  ASN1_TIME* until =
      options.next_update ? ASN1_TIME_adj(nullptr, *options.next_update, 0, 0) : nullptr;
  const auto generalized = [](ASN1_TIME* time) {
    return time == nullptr ? nullptr : ASN1_TIME_to_generalizedtime(time, nullptr);
  };
  ASN1_TIME* first = generalized(from);
  ASN1_TIME* last = generalized(until);
  check(OCSP_basic_add1_status(basic.get(), id, number_of(options.status), 1, first, first, last) !=
            nullptr,
        "OCSP status");
  for (ASN1_TIME* time : {from, until, first, last}) ASN1_TIME_free(time);
  OCSP_CERTID_free(id);
  const TestCertificate& signer =
      options.responder != nullptr ? *options.responder : issuer.certificate();
  unsigned long flags = 0;
  if (options.by_key) flags |= OCSP_RESPID_KEY;
  if (options.responder == nullptr || !options.with_certificate) flags |= OCSP_NOCERTS;
  const bool edwards = EVP_PKEY_is_a(signer.key(), "ED25519") == 1;
  check(OCSP_basic_sign(basic.get(), signer.x509(), signer.key(),
                        edwards ? nullptr : EVP_get_digestbyname(options.digest.c_str()), nullptr,
                        flags) == 1,
        "OCSP signature");
  if (options.break_signature) {
    auto* signature = const_cast<ASN1_OCTET_STRING*>(OCSP_resp_get0_signature(basic.get()));
    signature->data[signature->length - 1] ^= 1;
  }
  return der_of(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
}

}  // namespace handfast::testing
