#pragma once
// Whether a key or a signature is strong enough, and of a kind that TLS can use.
//
// One floor everywhere, OpenSSL's security level 2 (112 bits): at load, so that an operator learns
// of it before a handshake fails, and in the verifier. Set in code, because a slim image without
// openssl.cnf falls to level 1. Pure; thread-safe.

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <optional>
#include <string>

namespace handfast::pki {

inline constexpr int kSecurityLevel = 2;
inline constexpr int kSecurityBits = 112;

// Too short, DSA, explicit or unnamed curve parameters. The sentence begins with a verb: "is an RSA
// key of 1024 bits; …".
[[nodiscard]] std::optional<std::string> key_weakness(const EVP_PKEY* key);

// A key that key_weakness() refuses, or one of a kind that TLS 1.2 and 1.3 can't authenticate with.
[[nodiscard]] std::optional<std::string> key_unusable_in_tls(const EVP_PKEY* key);

// A kind of key that this OpenSSL doesn't know, or damage.
[[nodiscard]] std::optional<std::string> unreadable_key(const X509& certificate);

// MD5, SHA-1, or an algorithm that this OpenSSL doesn't know. A self-signed certificate's signature
// proves nothing and is not judged.
[[nodiscard]] std::optional<std::string> signature_weakness(X509* certificate);

}  // namespace handfast::pki
