#include "proxy/tls/client_certificate.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509_vfy.h>

#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/base/hex.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/pem.h"

namespace handfast::tls {
namespace {

pki::Verdict nothing_shown() {
  return {Reason::NoClientCertificate, "the client sent no certificate",
          X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0};
}

void add_der(std::string& bytes, X509* certificate) {
  const std::vector<unsigned char> der = pki::encode_certificate(*certificate);
  bytes.append(der.begin(), der.end());
}

std::string digest(std::string_view bytes) {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  unsigned int length = 0;
  check(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()),
                   &length, EVP_sha256(), nullptr) == 1,
        "SHA-256");
  return out;
}

std::string pem_of(X509* certificate) {
  const pki::BioPtr bio(BIO_new(BIO_s_mem()));
  check(bio != nullptr && PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// What Envoy puts in quotes and escapes.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

ClientCertificate::ClientCertificate(std::shared_ptr<const ClientPolicy> policy)
    : policy_(std::move(policy)), verdict_(nothing_shown()) {}

void ClientCertificate::keep(X509* leaf, STACK_OF(X509) * chain) {
  forget();
  X509_up_ref(leaf);
  leaf_.reset(leaf);
  std::string bytes;
  add_der(bytes, leaf);
  for (int i = 0; i < sk_X509_num(chain); ++i) {  // -1 for null
    X509* const certificate = sk_X509_value(chain, i);
    if (certificate == leaf) continue;
    if (chain_ == nullptr) chain_.reset(sk_X509_new_null());
    X509_up_ref(certificate);
    check(chain_ != nullptr && sk_X509_push(chain_.get(), certificate) > 0);
    add_der(bytes, certificate);
  }
  fingerprint_ = digest(bytes);
}

void ClientCertificate::show(X509* leaf, STACK_OF(X509) * chain, UnixSeconds now) {
  keep(leaf, chain);
  verdict_ = policy_->judge(leaf_.get(), chain_.get(), now);
}

void ClientCertificate::bring_back(X509* leaf, STACK_OF(X509) * chain,
                                   std::optional<UnixSeconds> holds_until, UnixSeconds now) {
  keep(leaf, chain);
  of_session_ = true;
  if (!holds_until) {
    verdict_ = policy_->judge(leaf_.get(), chain_.get(), now);
    return;
  }
  verdict_ = {};
  verdict_.valid_until = *holds_until;
}

void ClientCertificate::settle(bool resumed) {
  // What only a ticket told, which anybody may have seen, proves nothing.
  if (of_session_ && !resumed) forget();
}

void ClientCertificate::forget() { *this = ClientCertificate(policy_); }

void ClientCertificate::judge_again(std::shared_ptr<const ClientPolicy> policy, UnixSeconds now) {
  pki::Verdict verdict =
      leaf_ == nullptr ? nothing_shown() : policy->judge(leaf_.get(), chain_.get(), now);
  set_verdict(std::move(policy), std::move(verdict));
}

void ClientCertificate::set_verdict(std::shared_ptr<const ClientPolicy> policy,
                                    pki::Verdict verdict) {
  lost_ = lost_ || (verdict_.ok() && !verdict.ok());
  policy_ = std::move(policy);
  verdict_ = std::move(verdict);
  verify_text_.clear();
}

std::string_view ClientCertificate::verify_text() {
  if (leaf_ == nullptr) return "NONE";
  if (verdict_.ok()) return "SUCCESS";
  if (verify_text_.empty()) {
    verify_text_ = "FAILED:";
    verify_text_ += verdict_.openssl_error == X509_V_ERR_APPLICATION_VERIFICATION
                        ? std::string(to_string(verdict_.reason))
                        : X509_verify_cert_error_string(verdict_.openssl_error);
  }
  return verify_text_;
}

std::string_view ClientCertificate::subject() {
  if (subject_.empty() && leaf_ != nullptr) {
    subject_ = pki::name_text(X509_get_subject_name(leaf_.get()));
  }
  return subject_;
}

std::string_view ClientCertificate::issuer() {
  if (issuer_.empty() && leaf_ != nullptr) {
    issuer_ = pki::name_text(X509_get_issuer_name(leaf_.get()));
  }
  return issuer_;
}

std::string_view ClientCertificate::serial() {
  if (serial_.empty() && leaf_ != nullptr) {
    serial_ = pki::serial_text(X509_get0_serialNumber(leaf_.get()));
  }
  return serial_;
}

std::string_view ClientCertificate::escaped_pem() {
  if (escaped_pem_.empty() && leaf_ != nullptr) escaped_pem_ = percent_encode(pem_of(leaf_.get()));
  return escaped_pem_;
}

std::string_view ClientCertificate::forwarded(bool with_certificate) {
  if (!verdict_.ok()) return {};
  std::string& text = with_certificate ? forwarded_with_certificate_ : forwarded_;
  if (!text.empty()) return text;
  const pki::CertificateInfo info = pki::describe(*leaf_);
  text = "Hash=" + info.sha256;
  if (with_certificate) text.append(";Cert=\"").append(escaped_pem()).append("\"");
  text += ";Subject=" + in_quotes(subject());
  for (const std::string& san : info.sans) {
    const std::size_t colon = san.find(':');
    const std::string_view kind = std::string_view(san).substr(0, colon);
    if (kind != "URI" && kind != "DNS") continue;
    const std::string_view name = std::string_view(san).substr(colon + 1);
    text.append(";").append(kind).append("=");
    const bool special = name.find_first_of(",;=\"\\ ") != std::string_view::npos;
    text.append(special ? in_quotes(name) : std::string(name));
  }
  return text;
}

}  // namespace handfast::tls
