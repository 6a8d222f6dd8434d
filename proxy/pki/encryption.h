#pragma once
// What protects a private key by a passphrase (PKCS#5, PKCS#8, PKCS#12), looked at before any
// passphrase is tried.
//
// Whoever may write a Secret chooses how much work each attempt is, and the loader does it for
// everybody: a cost beyond any honest one is refused. So is a cipher that this OpenSSL hasn't
// (RC2 and DES without its legacy provider), with a word that doesn't sound like "wrong
// passphrase". The answers depend on the file alone, never on a passphrase. Pure; thread-safe.

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace handfast::pki {

// In units of one PBKDF2 iteration or one scrypt block, of all attempts together: some two seconds.
inline constexpr std::uint64_t kMaxPassphraseCost = 4'000'000;

// Nothing if it may be tried `attempts` times. The sentence begins with a verb: "is encrypted with
// RC2-40-CBC, which …".
[[nodiscard]] std::optional<std::string> encryption_problem(const X509_ALGOR& algorithm,
                                                            std::size_t attempts);
// Of one key derivation with so many iterations; null: one.
[[nodiscard]] std::optional<std::string> cost_problem(const ASN1_INTEGER* iterations,
                                                      std::size_t attempts);
// `name` as OpenSSL calls it: "DES-CBC".
[[nodiscard]] std::optional<std::string> cipher_problem(const char* name);

}  // namespace handfast::pki
