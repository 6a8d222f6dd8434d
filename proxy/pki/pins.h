#pragma once
// Pins: digests of the very key or certificate that a peer must show.
//
// A pin narrows what an authority vouches for, or stands alone (VerifyRules::pin_only). Only the
// peer's own certificate counts: a pin of an intermediate or of an authority proves nothing here.
// Pure; thread-safe.

#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace handfast::pki {

using Sha256 = std::array<unsigned char, 32>;

enum class PinType : std::uint8_t { Spki, Certificate };

struct Pin {
  PinType type = PinType::Spki;
  Sha256 sha256{};
  friend bool operator==(const Pin&, const Pin&) = default;
};

// Of the SubjectPublicKeyInfo in DER (RFC 7469 section 2.4). Nothing if it can't be encoded.
[[nodiscard]] std::optional<Sha256> spki_sha256(const X509& certificate);
[[nodiscard]] Sha256 sha256_of(std::span<const unsigned char> bytes);
[[nodiscard]] Sha256 certificate_sha256(const X509& certificate);

// Whether any one of them is the certificate's.
[[nodiscard]] bool is_pinned(const X509& certificate, std::span<const Pin> pins);

// 64 digits of lower-case hex, and back.
[[nodiscard]] std::optional<Sha256> parse_sha256(std::string_view hex);
[[nodiscard]] std::string sha256_text(const Sha256& digest);

}  // namespace handfast::pki
