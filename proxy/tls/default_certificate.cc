#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdint>

#include "proxy/base/check.h"
#include "proxy/tls/contexts.h"

namespace handfast::tls {
namespace {

std::string take_text(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(length));
}

void add_extension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  check(extension != nullptr, "certificate extension");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

Result<std::shared_ptr<const pki::Identity>> make_default_certificate() {
  const pki::EvpPkeyPtr key(EVP_EC_gen("P-256"));
  const pki::X509Ptr certificate(X509_new());
  check(key != nullptr && certificate != nullptr, "default certificate");
  X509* x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  std::uint64_t serial = 0;
  check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "RAND_bytes");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 365L * 24 * 3600);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("Handfast Default Certificate"),
                             -1, -1, 0);
  X509_set_issuer_name(x, name);
  X509_set_pubkey(x, key.get());
  add_extension(x, NID_subject_alt_name, "DNS:ingress.local");
  add_extension(x, NID_basic_constraints, "critical,CA:FALSE");
  check(X509_sign(x, key.get(), EVP_sha256()) > 0, "sign default certificate");

  const pki::BioPtr certificate_pem(BIO_new(BIO_s_mem()));
  const pki::BioPtr key_pem(BIO_new(BIO_s_secmem()));
  PEM_write_bio_X509(certificate_pem.get(), x);
  PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return pki::Identity::load(take_text(certificate_pem.get()), take_text(key_pem.get()));
}

}  // namespace handfast::tls
