#pragma once
// Certificate authorities, certificates and CRLs for tests, made in memory: no key or certificate
// lies in the tree, and nothing expires (all are valid from 2020 to 2120 unless told otherwise).
//
//   TestAuthority root{"shop-root"};
//   TestAuthority issuing = root.intermediate("shop-issuing");
//   TestCertificate orders = issuing.issue("orders.shop.svc");
//   issuing.crl_pem({&orders});
//
// The options structs make the odd ones: whatever OpenSSL can encode, however wrong. A mistake of a
// test (an extension that doesn't parse) ends the program. Threads: build on one, then read on
// many. Copies share keys and certificates.

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/times.h"

namespace handfast::testing {

enum class KeyType : std::uint8_t {
  P256,
  P384,
  P192,
  P256Explicit,  // the curve's parameters spelled out
  Secp256k1,
  Rsa2048,
  Rsa1024,
  Ed25519,
  X25519,
  Dsa2048,
};

// An extension as openssl.cnf spells it: {"crlDistributionPoints", "URI:http://crl.test/a"}, or by
// number: {"1.2.3.4", "critical,DER:0500"}.
using ExtensionText = std::pair<std::string, std::string>;

struct CertificateOptions {
  // "DNS:…", "IP:…", "URI:…", "email:…"; bytes are taken as they are, NULs included. issue() puts
  // its name in if this is empty; without_sans leaves the extension out.
  std::vector<std::string> sans{};
  bool without_sans = false;
  std::string subject{};  // replaces the CN: "CN=a/O=b"
  KeyType key = KeyType::P256;
  std::shared_ptr<EVP_PKEY> reuse_key{};  // instead of a new one
  std::string digest = "SHA256";          // "SHA1", "MD5"; ignored for Ed25519 issuers
  UnixSeconds not_before = kYear2020;
  UnixSeconds not_after = kYear2120;
  std::optional<std::uint64_t> serial{};  // none: 64 random bits
  int version = 3;                        // 1: no extensions at all
  // Values as in openssl.cnf; empty leaves the extension out.
  std::optional<std::string> basic_constraints{};   // default: by kind
  std::optional<std::string> key_usage{};           // default: by kind
  std::optional<std::string> extended_key_usage{};  // leaves: "serverAuth,clientAuth"; CAs: none
  bool key_identifiers = true;                      // subjectKeyIdentifier, authorityKeyIdentifier
  std::vector<ExtensionText> extensions{};          // nameConstraints, crlDistributionPoints, …
};

struct Pkcs12Options {
  std::string algorithm = "AES-256-CBC";  // or a scheme of PKCS#12: "PBE-SHA1-3DES"
  // Written into the file where `algorithm` stands, without encrypting so: for what this OpenSSL
  // can't do ("PBE-SHA1-RC2-40").
  std::string claim{};
  int iterations = 2048;
  int mac_iterations = 2048;
  bool mac = true;
  bool without_key = false;
  bool without_certificate = false;
  bool second_key = false;
};

class TestCertificate {
 public:
  [[nodiscard]] X509* x509() const { return certificate_.get(); }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }
  [[nodiscard]] std::shared_ptr<EVP_PKEY> shared_key() const { return key_; }
  [[nodiscard]] std::string cert_pem() const;
  [[nodiscard]] std::string cert_der() const;
  // This certificate, then the intermediates up to the root, which is left out.
  [[nodiscard]] std::string chain_pem() const;
  [[nodiscard]] std::string key_pem() const;                                       // PKCS#8
  [[nodiscard]] std::string traditional_key_pem() const;                           // PKCS#1 or SEC1
  [[nodiscard]] std::string encrypted_key_pem(std::string_view passphrase) const;  // PKCS#8
  // `pbe`: a scheme's NID, -1: PBKDF2 with AES-256.
  [[nodiscard]] std::string encrypted_key_pem(std::string_view passphrase, int pbe,
                                              int iterations) const;
  [[nodiscard]] std::string encrypted_traditional_key_pem(std::string_view passphrase) const;
  [[nodiscard]] std::string key_der() const;
  // Key, certificate and intermediates.
  [[nodiscard]] std::string pkcs12(std::string_view passphrase,
                                   const Pkcs12Options& options = {}) const;
  [[nodiscard]] std::string serial() const;  // upper-case hex, two digits a byte

 private:
  friend class TestAuthority;
  TestCertificate(std::shared_ptr<X509> certificate, std::shared_ptr<EVP_PKEY> key,
                  std::vector<std::shared_ptr<X509>> above)
      : certificate_(std::move(certificate)), key_(std::move(key)), above_(std::move(above)) {}

  std::shared_ptr<X509> certificate_;
  std::shared_ptr<EVP_PKEY> key_;
  std::vector<std::shared_ptr<X509>> above_;  // intermediates, nearest first
};

struct CrlOptions {
  UnixSeconds this_update = kYear2020;
  std::optional<UnixSeconds> next_update = kYear2120;  // nothing: the field is left out
  std::optional<std::uint64_t> number = 1;
  bool authority_key_identifier = true;
  std::string digest = "SHA256";
  std::vector<ExtensionText> extensions{};  // "issuingDistributionPoint", "deltaCRL", …
  // CRLReason for every entry (8: removeFromCRL); none: no such extension.
  std::optional<int> reason{};
  std::vector<ExtensionText> entry_extensions{};
  // More entries, by serial.
  std::vector<std::uint64_t> serials{};
  bool break_signature = false;
};

class TestAuthority {
 public:
  // A root, signed by itself.
  explicit TestAuthority(std::string_view name, const CertificateOptions& options = {});

  // An authority below this one.
  [[nodiscard]] TestAuthority intermediate(std::string_view name,
                                           const CertificateOptions& options = {}) const;
  // A certificate for `name`: the CN, and the only SAN ("DNS:", or "IP:" for an address) unless
  // the options have some.
  [[nodiscard]] TestCertificate issue(std::string_view name,
                                      const CertificateOptions& options = {}) const;

  [[nodiscard]] std::string cert_pem() const { return certificate_.cert_pem(); }
  [[nodiscard]] std::string key_pem() const { return certificate_.key_pem(); }
  [[nodiscard]] const TestCertificate& certificate() const { return certificate_; }

  using Revoked = std::vector<const TestCertificate*>;
  [[nodiscard]] std::string crl_pem(const Revoked& revoked = {},
                                    const CrlOptions& options = {}) const;
  [[nodiscard]] std::string crl_der(const Revoked& revoked = {},
                                    const CrlOptions& options = {}) const;

 private:
  explicit TestAuthority(TestCertificate certificate) : certificate_(std::move(certificate)) {}
  [[nodiscard]] TestCertificate make(std::string_view name, CertificateOptions options,
                                     bool authority) const;

  TestCertificate certificate_;
};

// `data` as one PEM block.
[[nodiscard]] std::string pem_block(std::string_view label, std::string_view data);

// A certificate that signs itself and is no CA.
[[nodiscard]] TestCertificate self_signed(std::string_view name,
                                          const CertificateOptions& options = {});

}  // namespace handfast::testing
