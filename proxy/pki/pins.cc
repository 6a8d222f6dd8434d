#include "proxy/pki/pins.h"

#include <openssl/evp.h>

#include <algorithm>

#include "proxy/base/check.h"
#include "proxy/base/hex.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

std::optional<Sha256> spki_sha256(const X509& certificate) {
  const CleanErrorQueue clean;
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &der);
  const OpensslBytesPtr owned{der};
  if (size <= 0) return std::nullopt;
  return sha256_of({der, static_cast<std::size_t>(size)});
}

Sha256 sha256_of(std::span<const unsigned char> bytes) {
  Sha256 digest{};
  check(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

Sha256 certificate_sha256(const X509& certificate) {
  Sha256 digest{};
  check(X509_digest(&certificate, EVP_sha256(), digest.data(), nullptr) == 1);
  return digest;
}

bool is_pinned(const X509& certificate, std::span<const Pin> pins) {
  if (pins.empty()) return false;
  const std::optional<Sha256> key = spki_sha256(certificate);
  const Sha256 whole = certificate_sha256(certificate);
  return std::ranges::any_of(pins, [&](const Pin& pin) {
    return pin.type == PinType::Certificate ? pin.sha256 == whole : key && pin.sha256 == *key;
  });
}

std::optional<Sha256> parse_sha256(std::string_view hex) {
  Sha256 digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const std::size_t value = kHexDigits.find(hex[i]);
    if (value == std::string_view::npos) return std::nullopt;
    digest[i / 2] = static_cast<unsigned char>(digest[i / 2] << 4 | value);
  }
  return digest;
}

std::string sha256_text(const Sha256& digest) {
  std::string text;
  for (const unsigned char byte : digest) append_hex(text, byte);
  return text;
}

}  // namespace handfast::pki
