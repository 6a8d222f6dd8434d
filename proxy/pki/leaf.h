#pragma once
// A leaf certificate at the price of its bytes.
//
// With each certificate OpenSSL 3.0 looks for a decoder of its public key, which takes nine tenths
// of d2i_X509() (117 of 131 µs), takes locks that all threads share, and is the larger part of a
// start with 10,000 pairs. Where no decoder is on offer it doesn't look; the public key is decoded
// with one that is kept (key_decoder.h).
//
// What is read here is to look at. Only a certificate that d2i_X509() made can be presented or be
// verified with: it alone has a public key of OpenSSL's.
//
// Thread-safe.

#include <openssl/x509.h>

#include <optional>
#include <vector>

#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/pem.h"

namespace handfast::pki {

struct Leaf {
  std::vector<unsigned char> der;
  X509Ptr certificate;  // X509_get0_pubkey() is null, there is no fingerprint
  EvpPkeyPtr key;       // its public one
};

// Nothing: parse_certificates() has to judge it, be it good or bad. That includes what issued
// itself, whose own key is looked at, and kinds of keys without a kept decoder (ML-DSA).
[[nodiscard]] std::optional<Leaf> read_leaf(const PemBlock& block);

}  // namespace handfast::pki
