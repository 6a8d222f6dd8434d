#include "controller/admission/self_signed.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstddef>
#include <utility>

#include "proxy/pki/openssl_ptr.h"

namespace handfast::admission {
namespace {

tl::unexpected<Error> failure(std::string_view what) {
  return fail(Reason::Internal, std::string(what).append(": ").append(pki::drain_openssl_errors()));
}

bool add_extension(X509* certificate, int nid, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str());
  if (made == nullptr) return false;
  const bool added = X509_add_ext(certificate, made, -1) == 1;
  X509_EXTENSION_free(made);
  return added;
}

bool set_serial(ASN1_INTEGER* serial) {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] &= 0x7F;  // positive
  const pki::BignumPtr number{BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr)};
  return number && BN_to_ASN1_INTEGER(number.get(), serial) != nullptr;
}

bool set_extensions(X509* certificate, const SelfSignedOptions& options) {
  std::string names;
  for (const std::string& name : options.names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  const bool is_ca = options.with_crl;
  return add_extension(certificate, NID_subject_alt_name, names) &&
         add_extension(certificate, NID_basic_constraints,
                       is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
         add_extension(certificate, NID_key_usage,
                       is_ca ? "critical,digitalSignature,keyCertSign,cRLSign"
                             : "critical,digitalSignature") &&
         add_extension(certificate, NID_ext_key_usage, "serverAuth,clientAuth") &&
         add_extension(certificate, NID_subject_key_identifier, "hash");
}

pki::X509Ptr make_certificate(EVP_PKEY* key, const SelfSignedOptions& options) {
  pki::X509Ptr made{X509_new()};
  if (!made || X509_set_version(made.get(), X509_VERSION_3) != 1) return nullptr;
  constexpr int kNameSize = static_cast<int>(kSelfSignedName.size());
  X509_NAME* name = X509_get_subject_name(made.get());
  const auto* text = reinterpret_cast<const unsigned char*>(kSelfSignedName.data());
  const bool filled =
      set_serial(X509_get_serialNumber(made.get())) &&
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, text, kNameSize, -1, 0) ==
          1 &&
      X509_set_issuer_name(made.get(), name) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(made.get()), options.not_before) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(made.get()), options.not_after) != nullptr &&
      X509_set_pubkey(made.get(), key) == 1 && set_extensions(made.get(), options) &&
      X509_sign(made.get(), key, EVP_sha256()) > 0;
  return filled ? std::move(made) : nullptr;
}

pki::X509CrlPtr make_crl(X509* issuer, EVP_PKEY* key, const SelfSignedOptions& options) {
  pki::X509CrlPtr made{X509_CRL_new()};
  const pki::Asn1IntegerPtr number{ASN1_INTEGER_new()};
  const std::unique_ptr<ASN1_TIME, pki::OpensslDeleter<ASN1_TIME_free>> from{
      ASN1_TIME_set(nullptr, options.not_before)};
  const std::unique_ptr<ASN1_TIME, pki::OpensslDeleter<ASN1_TIME_free>> until{
      ASN1_TIME_set(nullptr, options.not_after)};
  const bool filled = made && number && from && until &&
                      X509_CRL_set_version(made.get(), X509_CRL_VERSION_2) == 1 &&
                      X509_CRL_set_issuer_name(made.get(), X509_get_subject_name(issuer)) == 1 &&
                      X509_CRL_set1_lastUpdate(made.get(), from.get()) == 1 &&
                      X509_CRL_set1_nextUpdate(made.get(), until.get()) == 1 &&
                      ASN1_INTEGER_set(number.get(), 1) == 1 &&
                      X509_CRL_add1_ext_i2d(made.get(), NID_crl_number, number.get(), 0, 0) == 1 &&
                      X509_CRL_sort(made.get()) == 1 &&
                      X509_CRL_sign(made.get(), key, EVP_sha256()) > 0;
  return filled ? std::move(made) : nullptr;
}

// What `write` puts into a BIO.
template <class Write>
std::string text_of(Write write) {
  const pki::BioPtr bio{BIO_new(BIO_s_mem())};
  if (!bio || write(bio.get()) != 1) return {};
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string{};
}

}  // namespace

Result<SelfSigned> make_self_signed(const SelfSignedOptions& options) {
  const pki::CleanErrorQueue clean;
  const pki::EvpPkeyPtr key{EVP_EC_gen("P-256")};
  if (!key) return failure("can't make a key");
  const pki::X509Ptr certificate = make_certificate(key.get(), options);
  if (!certificate) return failure("can't make a certificate");

  SelfSigned made;
  made.not_before = options.not_before;
  made.not_after = options.not_after;
  made.certificate = text_of([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  made.key = text_of([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  if (made.certificate.empty() || made.key.empty()) return failure("can't write a certificate");
  if (options.with_crl) {
    const pki::X509CrlPtr crl = make_crl(certificate.get(), key.get(), options);
    if (!crl) return failure("can't make a CRL");
    made.crl = text_of([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, crl.get()); });
  }
  return made;
}

}  // namespace handfast::admission
