#include "controller/kube/tls_material.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "proxy/base/check.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::kube {
namespace {

pki::BioPtr bio_of(const std::string& text) {
  pki::BioPtr bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
  check(bio != nullptr, "no memory for a BIO");
  return bio;
}

// Whether the reader stopped at the end of the text, not at a broken entry.
bool is_end_of_text() { return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE; }

// Never asks on a terminal: keys with passphrases are refused.
int no_passphrase(char* /*to*/, int /*size*/, int /*is_writing*/, void* /*data*/) { return -1; }

Result<std::shared_ptr<X509_STORE>> make_store(const std::string& pem) {
  std::shared_ptr<X509_STORE> store{X509_STORE_new(), X509_STORE_free};
  check(store != nullptr, "no memory for a store");
  const pki::BioPtr bio = bio_of(pem);
  int count = 0;
  while (const pki::X509Ptr one{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
    check(X509_STORE_add_cert(store.get(), one.get()) == 1, "a CA can't be added");
    ++count;
  }
  if (!is_end_of_text() || count == 0) {
    return fail(Reason::BadCa, "the API server's CA: entry " + std::to_string(count + 1) +
                                   " is no certificate in PEM");
  }
  return store;
}

Status use_pair(SSL_CTX* context, const Credentials::Pems& pems) {
  const pki::BioPtr certificates = bio_of(pems.certificate);
  const pki::X509Ptr leaf{PEM_read_bio_X509(certificates.get(), nullptr, no_passphrase, nullptr)};
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return fail(Reason::BadCertificate, "client-certificate: " + pki::drain_openssl_errors());
  }
  while (
      pki::X509Ptr more{PEM_read_bio_X509(certificates.get(), nullptr, no_passphrase, nullptr)}) {
    if (SSL_CTX_add0_chain_cert(context, more.get()) == 1) (void)more.release();
  }
  if (!is_end_of_text()) {
    return fail(Reason::BadCertificate, "client-certificate: " + pki::drain_openssl_errors());
  }
  ERR_clear_error();
  const pki::BioPtr keys = bio_of(pems.key);
  const pki::EvpPkeyPtr key{PEM_read_bio_PrivateKey(keys.get(), nullptr, no_passphrase, nullptr)};
  if (!key) return fail(Reason::BadKey, "client-key: " + pki::drain_openssl_errors());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return fail(Reason::KeyMismatch, "client-key is not the key of client-certificate");
  }
  return {};
}

}  // namespace

void TlsMaterial::close_off(SSL_CTX* context) {
  X509_STORE* const nobody = X509_STORE_new();
  check(nobody != nullptr, "no memory for a store");
  SSL_CTX_set_cert_store(context, nobody);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
}

Status TlsMaterial::prepare(SSL_CTX* context, const Credentials::Pems& pems) {
  const pki::CleanErrorQueue clean;
  close_off(context);
  check(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1, "no TLS 1.2");
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // Hundreds of watches are idle nearly all of the time.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);

  X509_VERIFY_PARAM* const rules = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int named = is_address_ ? X509_VERIFY_PARAM_set1_ip_asc(rules, name_.c_str())
                                : X509_VERIFY_PARAM_set1_host(rules, name_.data(), name_.size());
  check(named == 1, "a name that can't be expected");
  check(X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_SSL_SERVER) == 1, "no purpose");

  if (Status status = use_ca(context, pems.ca); !status) return status;
  if (pems.certificate.empty()) return {};
  return use_pair(context, pems);
}

Status TlsMaterial::use_ca(SSL_CTX* context, const std::string& pem) {
  const std::lock_guard lock{mutex_};
  if (!store_ || pem != ca_pem_) {
    auto made = make_store(pem);
    if (!made) return fail(std::move(made.error()));
    store_ = std::move(*made);
    ca_pem_ = pem;
  }
  SSL_CTX_set1_cert_store(context, store_.get());
  return {};
}

}  // namespace handfast::kube
