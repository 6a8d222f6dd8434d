#include "proxy/pki/strength.h"

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {
namespace {

constexpr std::string_view kUse = "; use RSA of at least 2048 bits, ECDSA P-256 or Ed25519";

std::string type_text(const EVP_PKEY* key) {
  const char* name = EVP_PKEY_get0_type_name(key);
  return name != nullptr ? name : "unknown";
}

std::string curve_of(const EVP_PKEY* key) {
  std::array<char, 80> name{};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) != 1) return {};
  return {name.data(), std::min(size, name.size())};
}

// The parameters were spelled out, even if they happen to be those of a named curve (CVE-2020-0601
// was such a key).
bool from_explicit_parameters(const EVP_PKEY* key) {
  int spelled_out = 0;
  return EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                                &spelled_out) == 1 &&
         spelled_out != 0;
}

}  // namespace

std::optional<std::string> key_weakness(const EVP_PKEY* key) {
  const CleanErrorQueue clean;
  if (key == nullptr) return "has a public key that can't be read";
  if (EVP_PKEY_is_a(key, "DSA") == 1) return "has a DSA key" + std::string(kUse);
  if (EVP_PKEY_is_a(key, "EC") == 1 && (curve_of(key).empty() || from_explicit_parameters(key))) {
    return "has an elliptic-curve key with explicit parameters" + std::string(kUse);
  }
  if (EVP_PKEY_get_security_bits(key) < kSecurityBits) {
    return "has a key of type " + type_text(key) + " with " +
           std::to_string(EVP_PKEY_get_bits(key)) + " bits, which is too weak" + std::string(kUse);
  }
  return std::nullopt;
}

std::optional<std::string> key_unusable_in_tls(const EVP_PKEY* key) {
  if (auto weakness = key_weakness(key)) return weakness;
  const CleanErrorQueue clean;
  if (EVP_PKEY_is_a(key, "EC") == 1) {
    static constexpr std::array<std::string_view, 3> kCurves{"prime256v1", "secp384r1",
                                                             "secp521r1"};
    const std::string curve = curve_of(key);
    if (std::find(kCurves.begin(), kCurves.end(), curve) != kCurves.end()) return std::nullopt;
    return "has a key on the curve " + curve + ", which TLS peers don't offer" + std::string(kUse);
  }
  static constexpr std::array<const char*, 7> kTypes{"RSA",       "RSA-PSS",   "ED25519",  "ED448",
                                                     "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
  for (const char* type : kTypes) {
    if (EVP_PKEY_is_a(key, type) == 1) return std::nullopt;
  }
  return "has a key of type " + type_text(key) + ", which TLS can't use" + std::string(kUse);
}

std::optional<std::string> unreadable_key(const X509& certificate) {
  const CleanErrorQueue clean;
  if (X509_get0_pubkey(&certificate) != nullptr) return std::nullopt;
  ASN1_OBJECT* algorithm = nullptr;
  std::array<char, 80> name{};
  if (X509_PUBKEY_get0_param(&algorithm, nullptr, nullptr, nullptr,
                             X509_get_X509_PUBKEY(&certificate)) == 1) {
    OBJ_obj2txt(name.data(), static_cast<int>(name.size()), algorithm, 0);
  }
  return "has a public key (" + std::string(name.data()) + ") that this OpenSSL can't read" +
         std::string(kUse);
}

std::optional<std::string> signature_weakness(X509* certificate) {
  const CleanErrorQueue clean;
  if ((X509_get_extension_flags(certificate) & EXFLAG_SS) != 0) return std::nullopt;
  int digest = NID_undef;
  int bits = -1;
  if (X509_get_signature_info(certificate, &digest, nullptr, &bits, nullptr) != 1) bits = -1;
  if (bits >= kSecurityBits) return std::nullopt;
  const char* name = OBJ_nid2sn(digest != NID_undef ? digest : X509_get_signature_nid(certificate));
  return "is signed with " + std::string(name != nullptr ? name : "an unknown algorithm") +
         ", which is too weak; have it issued again with SHA-256";
}

}  // namespace handfast::pki
