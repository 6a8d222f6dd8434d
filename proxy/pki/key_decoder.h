#pragma once
// A private key from its PEM block, and a certificate's public key, at the price of the work and
// not of OpenSSL's search for it.
//
// OpenSSL 3.0 builds a chain of decoders anew for every key (370-630 µs); one built once for a key
// type and used again takes 11-41 µs, which is what a reload of 10,000 identities is made of.
//
// Threading: each thread has its own decoders, made when first needed. Errors of the plain form:
// null, with OpenSSL's reasons in the error queue. Copies of the key's bytes are wiped before they
// are freed. Never asks for a passphrase.

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/pem.h"

namespace handfast::pki {

[[nodiscard]] EvpPkeyPtr decode_private_key(const PemBlock& block);

// What X509_get0_pubkey() would give; null, without a reason, also of a kind that has no decoder
// here.
[[nodiscard]] EvpPkeyPtr decode_public_key(X509_PUBKEY& key);

// A key in DER, from which it can be made again: a tenth of what OpenSSL makes of it. Wiped when it
// goes.
class PackedKey {
 public:
  // Of a block that isn't encrypted. Nothing: it is of no kind that has a decoder here. Whether
  // that takes it, only open() knows.
  [[nodiscard]] static std::optional<PackedKey> pack(const PemBlock& block);

  PackedKey(PackedKey&& other) noexcept;
  PackedKey& operator=(PackedKey&&) = delete;
  ~PackedKey();

  // Null as above; not of one that was opened before.
  [[nodiscard]] EvpPkeyPtr open() const;

 private:
  PackedKey(std::size_t form, std::span<const unsigned char> der);

  std::size_t form_;
  unsigned char* der_;
  std::size_t size_;
};

// Of a block that is `encrypted`: PKCS#8 or OpenSSL's old form. The passphrases are tried in order,
// none to be guessed from the answer: Passphrase if no one fits (or what it opens is no key, which
// can't be told apart), BadKey for what is wrong whatever the passphrase.
[[nodiscard]] Result<EvpPkeyPtr> decode_encrypted_key(const PemBlock& block,
                                                      std::span<const std::string> passphrases);

}  // namespace handfast::pki
