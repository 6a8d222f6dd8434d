#pragma once
// The intermediates that identities send: each once for all of them, as OpenSSL's object. They are
// few and in many chains.
//
// An intermediate is known as long as an identity has it, and if it is one of the kMostKept that
// came last: who reads one pair after the other and keeps none parses it once.
//
// Thread-safe.

#include <openssl/x509.h>

#include <cstddef>
#include <memory>
#include <span>

namespace handfast::pki {

inline constexpr std::size_t kMostKeptIntermediates = 64;

// `certificate`: one that may be presented. The answer may be another object of the same bytes.
[[nodiscard]] std::shared_ptr<X509> share_intermediate(X509& certificate);

// Null: nobody has shared it.
[[nodiscard]] std::shared_ptr<X509> find_intermediate(std::span<const unsigned char> der);

// How many are known.
[[nodiscard]] std::size_t count_intermediates();

}  // namespace handfast::pki
