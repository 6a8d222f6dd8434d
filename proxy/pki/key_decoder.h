#pragma once
// A private key from its PEM block, at the price of the work and not of OpenSSL's search for it.
//
// OpenSSL 3.0 builds a chain of decoders anew for every key (370-630 µs); one built once for a key
// type and used again takes 11-41 µs, which is what a reload of 10,000 identities is made of.
//
// Threading: each thread has its own decoders, made when first needed. Errors: null, with OpenSSL's
// reasons in the error queue. Copies of the key's bytes are wiped before they are freed. Never asks
// for a passphrase: an encrypted block is just one that can't be decoded.

#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/pem.h"

namespace handfast::pki {

[[nodiscard]] EvpPkeyPtr decode_private_key(const PemBlock& block);

}  // namespace handfast::pki
