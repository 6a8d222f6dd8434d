#pragma once
// A certificate chain with its private key, judged once and shared by everything that presents it.
//
// Immutable after load(), so any number of threads may use one. The key never leaves: no accessor
// gives its bytes, no error text holds any. What is seldom used is packed (packed_identity.h), but
// for keys that come encrypted or in PKCS#12.

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/packed_identity.h"
#include "proxy/pki/pem.h"

namespace handfast::pki {

// What is told of a certificate in state, logs and metrics.
struct CertificateInfo {
  std::string subject;  // RFC 2253 text, "CN=orders,O=Shop"
  std::string issuer;
  std::string serial;             // upper-case hex, two digits a byte, as `openssl x509 -serial`
  std::string sha256;             // of the DER, lower-case hex
  std::string key_type;           // OpenSSL's: "RSA", "EC", "ED25519"
  std::vector<std::string> sans;  // "DNS:…", "IP:…", "URI:…"; bytes outside ASCII as \xNN
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
  // May a TLS client present it, by its extendedKeyUsage? RFC 5280 4.2.1.12: it has none, or
  // clientAuth or any is in it.
  bool is_for_clients = true;

  friend bool operator==(const CertificateInfo&, const CertificateInfo&) = default;
};

[[nodiscard]] CertificateInfo describe(const X509& certificate);

// Does a DNS name or an IP in the certificate's SANs cover `host`? (RFC 6125: a wildcard stands for
// one label; the CN is never looked at.)
[[nodiscard]] bool covers_host(const X509& certificate, std::string_view host);

// A chain as a peer would present it: leaf first. For `handfast verify` and preflight, where no
// handshake brings it. Nothing but certificates, all of them decodable, else BadCertificate.
struct CertificateChain {
  X509Ptr leaf;
  X509StackPtr intermediates;  // never null
};
[[nodiscard]] Result<CertificateChain> load_chain(std::string_view pem);

// One file of two: load_pem() takes it if load() takes the two.
[[nodiscard]] std::string join_pem(std::string_view certificate_pem, std::string_view key_pem);

class Identity {
 public:
  // `certificate_pem`: the leaf and its intermediates, in any order as long as exactly one of them
  // matches the key; text between blocks is ignored, a torn or undecodable block is BadCertificate,
  // and so is input that holds bytes and no certificate. `key_pem`: PKCS#1, PKCS#8 or SEC1;
  // anything else is BadKey. If it is encrypted, the passphrases are tried in order; Passphrase if
  // none fits (never a prompt). A key that belongs to no certificate given is KeyMismatch. What TLS
  // would refuse to present later is refused here: a weak or unsupported key (BadKey), a leaf or
  // intermediate that is weak or signed with MD5 or SHA-1 (BadCertificate). Time is not judged
  // here. detail begins with "tls.crt: " or "tls.key: ".
  static Result<std::shared_ptr<const Identity>> load(
      std::string_view certificate_pem, std::string_view key_pem,
      std::span<const std::string> passphrases = {});
  // The same of one PEM file that holds both, in any order. detail begins with "tls.pem: ".
  static Result<std::shared_ptr<const Identity>> load_pem(
      std::string_view pem, std::span<const std::string> passphrases = {});
  // The same of one PKCS#12 file (pkcs12.h). detail begins with "tls.p12: ".
  static Result<std::shared_ptr<const Identity>> load_pkcs12(
      std::string_view bytes, std::span<const std::string> passphrases);
  // Of one file with both: PKCS#12 if its name ends in ".p12", else PEM.
  static Result<std::shared_ptr<const Identity>> load_file(
      std::string_view name, std::string_view bytes, std::span<const std::string> passphrases);

  // The same with an OCSP response about the leaf, which clients get with it for so long.
  [[nodiscard]] std::shared_ptr<const Identity> with_staple(std::string response,
                                                            UnixSeconds valid_until) const;

  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity();

  // Chain and key, to present them; null as PackedIdentity::open(). May take 0.2 ms.
  [[nodiscard]] std::shared_ptr<const OpenIdentity> open() const {
    return open_ != nullptr ? open_ : packed_->open();
  }
  // Whether this is the leaf.
  [[nodiscard]] bool is_leaf(const X509& certificate) const;
  [[nodiscard]] std::span<const unsigned char> leaf_sha1() const noexcept { return leaf_sha1_; }
  [[nodiscard]] const CertificateInfo& info() const noexcept { return info_; }
  // DER; empty: none, or none any more.
  [[nodiscard]] std::string_view staple(UnixSeconds now) const noexcept {
    return now <= staple_valid_until_ ? std::string_view(staple_) : std::string_view();
  }

 private:
  // Where certificates and key came from, for error texts.
  struct FileNames {
    std::string_view certificate;
    std::string_view key;
  };
  static Result<std::shared_ptr<const Identity>> load_blocks(
      std::span<const PemBlock> certificates, std::span<const PemBlock> keys,
      std::span<const std::string> passphrases, const FileNames& files);
  static Result<std::shared_ptr<const Identity>> join(std::vector<X509Ptr> certificates,
                                                      EvpPkeyPtr key,
                                                      std::optional<PackedKey> packed_key,
                                                      const FileNames& files);
  // A leaf with at most one intermediate, and that known, and a key that isn't encrypted, as most
  // are: at a third of the price. Null: of another kind, or there is something to say of it; the
  // long way tells.
  static std::shared_ptr<const Identity> load_plain(std::span<const PemBlock> certificates,
                                                    std::span<const PemBlock> keys);
  Identity() = default;

  std::shared_ptr<const OpenIdentity> open_;      // of what isn't packed
  std::shared_ptr<const PackedIdentity> packed_;  // else
  std::array<unsigned char, 20> leaf_sha1_{};
  CertificateInfo info_;
  std::string staple_;
  UnixSeconds staple_valid_until_ = 0;
};

}  // namespace handfast::pki
