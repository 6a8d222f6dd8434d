#include "tests/support/test_authority.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <source_location>

#include "proxy/base/check.h"

namespace handfast::testing {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Crl = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using Integer = std::unique_ptr<ASN1_INTEGER, Deleter<ASN1_INTEGER_free>>;
using Time = std::unique_ptr<ASN1_TIME, Deleter<ASN1_TIME_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;

void must(bool ok, std::source_location where = std::source_location::current()) {
  if (!ok) ERR_print_errors_fp(stderr);
  check(ok, "a test asked for what OpenSSL can't make", where);
}

std::shared_ptr<EVP_PKEY> owned(EVP_PKEY* key) {
  must(key != nullptr);
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> generate(const char* type, EVP_PKEY* parameters = nullptr) {
  const KeyContext context{parameters != nullptr
                               ? EVP_PKEY_CTX_new_from_pkey(nullptr, parameters, nullptr)
                               : EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr)};
  EVP_PKEY* key = nullptr;
  must(context && EVP_PKEY_keygen_init(context.get()) == 1 &&
       EVP_PKEY_generate(context.get(), &key) == 1);
  return owned(key);
}

std::shared_ptr<EVP_PKEY> dsa_parameters() {
  const KeyContext context{EVP_PKEY_CTX_new_from_name(nullptr, "DSA", nullptr)};
  unsigned int bits = 2048;
  const std::array<OSSL_PARAM, 2> settings{OSSL_PARAM_construct_uint("pbits", &bits),
                                           OSSL_PARAM_construct_end()};
  EVP_PKEY* parameters = nullptr;
  must(context && EVP_PKEY_paramgen_init(context.get()) == 1 &&
       EVP_PKEY_CTX_set_params(context.get(), settings.data()) == 1 &&
       EVP_PKEY_generate(context.get(), &parameters) == 1);
  return owned(parameters);
}

std::shared_ptr<EVP_PKEY> dsa_key() {
  // Half a second of search for primes: once.
  static const std::shared_ptr<EVP_PKEY> parameters = dsa_parameters();
  return generate("DSA", parameters.get());
}

std::shared_ptr<EVP_PKEY> ec_key(const char* curve, bool explicit_parameters = false) {
  auto key = owned(EVP_EC_gen(curve));
  if (explicit_parameters) {
    must(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING,
                                        OSSL_PKEY_EC_ENCODING_EXPLICIT) == 1);
  }
  return key;
}

std::shared_ptr<EVP_PKEY> make_key(KeyType type) {
  switch (type) {
    case KeyType::P256:
      return ec_key("P-256");
    case KeyType::P384:
      return ec_key("P-384");
    case KeyType::P192:
      return ec_key("P-192");
    case KeyType::P256Explicit:
      return ec_key("P-256", true);
    case KeyType::Secp256k1:
      return ec_key("secp256k1");
    case KeyType::Rsa2048:
      return owned(EVP_RSA_gen(2048));
    case KeyType::Rsa1024:
      return owned(EVP_RSA_gen(1024));
    case KeyType::Ed25519:
      return generate("ED25519");
    case KeyType::X25519:
      return generate("X25519");
    case KeyType::Dsa2048:
      return dsa_key();
  }
  return nullptr;
}

template <class Write>
std::string written(Write write) {
  const Bio bio{BIO_new(BIO_s_mem())};
  must(bio != nullptr && write(bio.get()));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::uint64_t random_serial() {
  std::uint64_t serial = 0;
  must(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  return serial >> 1 | 1;
}

Integer integer(std::uint64_t value) {
  Integer made{ASN1_INTEGER_new()};
  must(made && ASN1_INTEGER_set_uint64(made.get(), value) == 1);
  return made;
}

Time time_of(UnixSeconds time) {
  Time made{ASN1_TIME_set(nullptr, time)};
  must(made != nullptr);
  return made;
}

Extension extension(const ExtensionText& text, X509V3_CTX* context) {
  Extension made{X509V3_EXT_nconf(nullptr, context, text.first.c_str(), text.second.c_str())};
  must(made != nullptr);
  return made;
}

void set_name(X509_NAME* name, std::string_view text) {
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = std::min(text.find('/', start), text.size());
    const std::string_view part = text.substr(start, end - start);
    const std::size_t equals = part.find('=');
    must(equals != std::string_view::npos);
    const std::string field(part.substr(0, equals));
    const std::string value(part.substr(equals + 1));
    must(X509_NAME_add_entry_by_txt(name, field.c_str(), MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1);
    start = end + 1;
  }
}

// By hand and not by X509V3_EXT_nconf, which can't spell a NUL or a comma.
GENERAL_NAME* general_name(std::string_view text) {
  const std::size_t colon = text.find(':');
  must(colon != std::string_view::npos);
  const std::string_view kind = text.substr(0, colon);
  std::string value(text.substr(colon + 1));
  int type = kind == "DNS" ? GEN_DNS : kind == "URI" ? GEN_URI : GEN_EMAIL;
  if (kind == "IP") {
    std::array<unsigned char, 16> bytes{};
    const bool four = inet_pton(AF_INET, value.c_str(), bytes.data()) == 1;
    must(four || inet_pton(AF_INET6, value.c_str(), bytes.data()) == 1);
    value.assign(reinterpret_cast<const char*>(bytes.data()), four ? 4 : 16);
    type = GEN_IPADD;
  }
  ASN1_STRING* string =
      ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
  GENERAL_NAME* name = GENERAL_NAME_new();
  must(string != nullptr && name != nullptr &&
       ASN1_STRING_set(string, value.data(), static_cast<int>(value.size())) == 1);
  GENERAL_NAME_set0_value(name, type, string);
  return name;
}

void add_sans(X509* certificate, const std::vector<std::string>& sans) {
  if (sans.empty()) return;
  const Names names{GENERAL_NAMES_new()};
  must(names != nullptr);
  for (const std::string& san : sans) {
    must(sk_GENERAL_NAME_push(names.get(), general_name(san)) > 0);
  }
  must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) ==
       1);
}

const EVP_MD* digest_for(EVP_PKEY* key, const std::string& name) {
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return nullptr;
  const EVP_MD* digest = EVP_get_digestbyname(name.c_str());
  must(digest != nullptr);
  return digest;
}

bool has_key_identifier(const X509* issuer) {
  return X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0;
}

void add_extensions(X509* certificate, X509* issuer, const CertificateOptions& options,
                    bool authority) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const auto add = [&](const std::string& name, const std::string& value) {
    if (value.empty()) return;
    const Extension made = extension({name, value}, &context);
    must(X509_add_ext(certificate, made.get(), -1) == 1);
  };
  add("basicConstraints",
      options.basic_constraints.value_or(authority ? "critical,CA:TRUE" : "critical,CA:FALSE"));
  add("keyUsage", options.key_usage.value_or(authority ? "critical,keyCertSign,cRLSign"
                                                       : "critical,digitalSignature"));
  add("extendedKeyUsage",
      options.extended_key_usage.value_or(authority ? "" : "serverAuth,clientAuth"));
  if (options.key_identifiers) {
    add("subjectKeyIdentifier", "hash");
    // Refers to the issuer's identifier, which a root has just been given.
    if (has_key_identifier(issuer)) add("authorityKeyIdentifier", "keyid");
  }
  if (!options.without_sans) add_sans(certificate, options.sans);
  for (const auto& [name, value] : options.extensions) add(name, value);
}

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

// `issuer` is null for a certificate that signs itself.
std::shared_ptr<X509> build(std::string_view name, const CertificateOptions& options,
                            bool authority, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  X509* x509 = certificate.get();
  must(x509 != nullptr && X509_set_version(x509, options.version - 1) == 1);
  const Integer serial = integer(options.serial ? *options.serial : random_serial());
  must(X509_set_serialNumber(x509, serial.get()) == 1);
  set_name(X509_get_subject_name(x509),
           options.subject.empty() ? "CN=" + std::string(name) : options.subject);
  must(X509_set_issuer_name(x509, X509_get_subject_name(issuer != nullptr ? issuer : x509)) == 1);
  must(X509_set1_notBefore(x509, time_of(options.not_before).get()) == 1);
  must(X509_set1_notAfter(x509, time_of(options.not_after).get()) == 1);
  must(X509_set_pubkey(x509, key) == 1);
  if (options.version == 3) {
    add_extensions(x509, issuer != nullptr ? issuer : x509, options, authority);
  }
  EVP_PKEY* signer = issuer_key != nullptr ? issuer_key : key;
  must(X509_sign(x509, signer, digest_for(signer, options.digest)) > 0);
  // What a reader would hold: decoded from bytes, with everything derived anew.
  unsigned char* der = nullptr;
  const int size = i2d_X509(x509, &der);
  const unsigned char* cursor = der;
  must(size > 0);
  std::shared_ptr<X509> read(d2i_X509(nullptr, &cursor, size), X509_free);
  OPENSSL_free(der);
  must(read != nullptr);
  // Fills the extension cache; an odd certificate may have extensions that can't be read.
  static_cast<void>(X509_check_purpose(read.get(), -1, 0));
  ERR_clear_error();
  return read;
}

void add_entry(X509_CRL* crl, const ASN1_INTEGER* serial, const CrlOptions& options) {
  X509_REVOKED* entry = X509_REVOKED_new();
  must(entry != nullptr &&
       X509_REVOKED_set_serialNumber(entry, const_cast<ASN1_INTEGER*>(serial)) == 1);
  must(X509_REVOKED_set_revocationDate(entry, time_of(options.this_update).get()) == 1);
  if (options.reason) {
    ASN1_ENUMERATED* reason = ASN1_ENUMERATED_new();
    must(reason != nullptr && ASN1_ENUMERATED_set(reason, *options.reason) == 1);
    must(X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, X509V3_ADD_APPEND) == 1);
    ASN1_ENUMERATED_free(reason);
  }
  for (const ExtensionText& text : options.entry_extensions) {
    const Extension made = extension(text, nullptr);
    must(X509_REVOKED_add_ext(entry, made.get(), -1) == 1);
  }
  must(X509_CRL_add0_revoked(crl, entry) == 1);
}

void add_crl_extensions(X509_CRL* crl, X509* issuer, const CrlOptions& options) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, nullptr, nullptr, crl, 0);
  if (options.number) {
    must(X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer(*options.number).get(), 0,
                               X509V3_ADD_APPEND) == 1);
  }
  std::vector<ExtensionText> texts = options.extensions;
  if (options.authority_key_identifier && has_key_identifier(issuer)) {
    texts.emplace_back("authorityKeyIdentifier", "keyid");
  }
  for (const ExtensionText& text : texts) {
    const Extension made = extension(text, &context);
    must(X509_CRL_add_ext(crl, made.get(), -1) == 1);
  }
}

Crl make_crl(const TestCertificate& issuer, const TestAuthority::Revoked& revoked,
             const CrlOptions& options) {
  Crl crl{X509_CRL_new()};
  must(crl != nullptr && X509_CRL_set_version(crl.get(), 1) == 1);
  must(X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.x509())) == 1);
  must(X509_CRL_set1_lastUpdate(crl.get(), time_of(options.this_update).get()) == 1);
  if (options.next_update) {
    must(X509_CRL_set1_nextUpdate(crl.get(), time_of(*options.next_update).get()) == 1);
  }
  for (const TestCertificate* certificate : revoked) {
    add_entry(crl.get(), X509_get0_serialNumber(certificate->x509()), options);
  }
  for (const std::uint64_t serial : options.serials) {
    add_entry(crl.get(), integer(serial).get(), options);
  }
  add_crl_extensions(crl.get(), issuer.x509(), options);
  X509_CRL_sort(crl.get());
  must(X509_CRL_sign(crl.get(), issuer.key(), digest_for(issuer.key(), options.digest)) > 0);
  return crl;
}

void claim_algorithm(STACK_OF(PKCS7) * safes, const std::string& name) {
  for (int i = 0; i < sk_PKCS7_num(safes); ++i) {
    PKCS7* safe = sk_PKCS7_value(safes, i);
    if (!PKCS7_type_is_encrypted(safe)) continue;
    X509_ALGOR* algorithm = safe->d.encrypted->enc_data->algorithm;
    ASN1_OBJECT_free(algorithm->algorithm);
    algorithm->algorithm = OBJ_txt2obj(name.c_str(), 0);
    must(algorithm->algorithm != nullptr);
  }
}

}  // namespace

std::string TestCertificate::pkcs12(std::string_view passphrase,
                                    const Pkcs12Options& options) const {
  const std::string secret(passphrase);
  const int algorithm = OBJ_txt2nid(options.algorithm.c_str());
  must(algorithm != NID_undef);
  STACK_OF(PKCS7)* safes = nullptr;
  STACK_OF(PKCS12_SAFEBAG)* bags = nullptr;
  const auto close = [&](int nid) {
    if (bags == nullptr) return;
    must(PKCS12_add_safe(&safes, bags, nid, options.iterations, secret.c_str()) == 1);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    bags = nullptr;
  };
  if (!options.without_certificate) {
    for (const auto& certificate : above_)
      must(PKCS12_add_cert(&bags, certificate.get()) != nullptr);
    must(PKCS12_add_cert(&bags, certificate_.get()) != nullptr);
    close(algorithm);
  }
  const int keys = options.without_key ? 0 : options.second_key ? 2 : 1;
  for (int i = 0; i < keys; ++i) {
    must(PKCS12_add_key(&bags, key_.get(), 0, options.iterations, algorithm, secret.c_str()) !=
         nullptr);
  }
  close(-1);
  if (!options.claim.empty()) claim_algorithm(safes, options.claim);
  const std::unique_ptr<PKCS12, Deleter<PKCS12_free>> file{PKCS12_add_safes(safes, 0)};
  sk_PKCS7_pop_free(safes, PKCS7_free);
  must(file != nullptr);
  if (options.mac) {
    must(PKCS12_set_mac(file.get(), secret.c_str(), static_cast<int>(secret.size()), nullptr, 8,
                        options.mac_iterations, EVP_sha256()) == 1);
  }
  return written([&](BIO* bio) { return i2d_PKCS12_bio(bio, file.get()) == 1; });
}

std::string TestCertificate::cert_pem() const {
  return written([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()) == 1; });
}

std::string TestCertificate::cert_der() const {
  return written([this](BIO* bio) { return i2d_X509_bio(bio, certificate_.get()) == 1; });
}

std::string TestCertificate::chain_pem() const {
  std::string pem = cert_pem();
  for (const auto& certificate : above_) {
    pem += written([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()) == 1; });
  }
  return pem;
}

std::string TestCertificate::key_pem() const {
  return written([this](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
           1;
  });
}

std::string TestCertificate::traditional_key_pem() const {
  return written([this](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key_.get(), nullptr, nullptr, 0, nullptr,
                                                nullptr) == 1;
  });
}

std::string TestCertificate::encrypted_key_pem(std::string_view passphrase) const {
  return written([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key_.get(), EVP_aes_256_cbc(), passphrase.data(),
                                         static_cast<int>(passphrase.size()), nullptr,
                                         nullptr) == 1;
  });
}

std::string TestCertificate::encrypted_traditional_key_pem(std::string_view passphrase) const {
  return written([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(
               bio, key_.get(), EVP_aes_256_cbc(),
               reinterpret_cast<const unsigned char*>(passphrase.data()),
               static_cast<int>(passphrase.size()), nullptr, nullptr) == 1;
  });
}

std::string TestCertificate::encrypted_key_pem(std::string_view passphrase, int pbe,
                                               int iterations) const {
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, Deleter<PKCS8_PRIV_KEY_INFO_free>> info{
      EVP_PKEY2PKCS8(key_.get())};
  const std::unique_ptr<X509_SIG, Deleter<X509_SIG_free>> sealed{
      PKCS8_encrypt(pbe, pbe == -1 ? EVP_aes_256_cbc() : nullptr, passphrase.data(),
                    static_cast<int>(passphrase.size()), nullptr, 0, iterations, info.get())};
  must(sealed != nullptr);
  return written([&](BIO* bio) { return PEM_write_bio_PKCS8(bio, sealed.get()) == 1; });
}

std::string TestCertificate::key_der() const {
  return written([this](BIO* bio) {
    return i2d_PKCS8PrivateKey_bio(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
  });
}

std::string TestCertificate::serial() const {
  return written([this](BIO* bio) {
    return i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(certificate_.get())) > 0;
  });
}

TestAuthority::TestAuthority(std::string_view name, const CertificateOptions& options)
    : certificate_([&] {
        auto key = options.reuse_key ? options.reuse_key : make_key(options.key);
        auto x509 = build(name, options, true, key.get(), nullptr, nullptr);
        return TestCertificate(std::move(x509), std::move(key), {});
      }()) {}

TestCertificate TestAuthority::make(std::string_view name, CertificateOptions options,
                                    bool authority) const {
  auto key = options.reuse_key ? options.reuse_key : make_key(options.key);
  if (!authority && options.sans.empty()) {
    options.sans.push_back((is_address(std::string(name)) ? "IP:" : "DNS:") + std::string(name));
  }
  auto x509 = build(name, options, authority, key.get(), certificate_.x509(), certificate_.key());
  auto above = certificate_.above_;
  const X509* own = certificate_.x509();
  const bool root = X509_NAME_cmp(X509_get_subject_name(own), X509_get_issuer_name(own)) == 0;
  if (!root) above.insert(above.begin(), certificate_.certificate_);
  return {std::move(x509), std::move(key), std::move(above)};
}

TestAuthority TestAuthority::intermediate(std::string_view name,
                                          const CertificateOptions& options) const {
  return TestAuthority(make(name, options, true));
}

TestCertificate TestAuthority::issue(std::string_view name,
                                     const CertificateOptions& options) const {
  return make(name, options, false);
}

std::string TestAuthority::crl_der(const Revoked& revoked, const CrlOptions& options) const {
  const Crl crl = make_crl(certificate_, revoked, options);
  std::string der = written([&](BIO* bio) { return i2d_X509_CRL_bio(bio, crl.get()) == 1; });
  // The signature's last byte is the list's last byte.
  if (options.break_signature) der.back() = static_cast<char>(der.back() ^ 1);
  return der;
}

std::string TestAuthority::crl_pem(const Revoked& revoked, const CrlOptions& options) const {
  return pem_block("X509 CRL", crl_der(revoked, options));
}

std::string pem_block(std::string_view label, std::string_view data) {
  return written([&](BIO* bio) {
    return PEM_write_bio(bio, std::string(label).c_str(), "",
                         reinterpret_cast<const unsigned char*>(data.data()),
                         static_cast<long>(data.size())) > 0;
  });
}

TestCertificate self_signed(std::string_view name, const CertificateOptions& options) {
  CertificateOptions own = options;
  own.basic_constraints = options.basic_constraints.value_or("critical,CA:FALSE");
  own.key_usage = options.key_usage.value_or("critical,digitalSignature");
  own.extended_key_usage = options.extended_key_usage.value_or("serverAuth,clientAuth");
  if (own.sans.empty()) own.sans.push_back("DNS:" + std::string(name));
  return TestAuthority(name, own).certificate();
}

}  // namespace handfast::testing
