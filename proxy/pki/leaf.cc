#include "proxy/pki/leaf.h"

#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>

#include "proxy/base/check.h"
#include "proxy/pki/key_decoder.h"

namespace handfast::pki {
namespace {

// Without a provider in it: there is nothing to find.
OSSL_LIB_CTX* bare_library() {
  static OSSL_LIB_CTX* const library = [] {
    OSSL_LIB_CTX* const made = OSSL_LIB_CTX_new();
    check(made != nullptr && OSSL_PROVIDER_load(made, "null") != nullptr, "a library of its own");
    return made;  // certificates may outlive main()
  }();
  return library;
}

}  // namespace

std::optional<Leaf> read_leaf(const PemBlock& block) {
  const CleanErrorQueue clean;
  const auto bytes = decode_block(block, Reason::BadCertificate);
  if (!bytes) return std::nullopt;
  Leaf leaf{.der = {}, .certificate = X509Ptr{X509_new_ex(bare_library(), nullptr)}, .key = {}};
  check(leaf.certificate != nullptr);
  X509* certificate = leaf.certificate.release();  // d2i_X509() frees it if it fails
  const unsigned char* cursor = bytes->data.get();
  leaf.certificate.reset(d2i_X509(&certificate, &cursor, static_cast<long>(bytes->size)));
  if (leaf.certificate == nullptr || cursor != bytes->data.get() + bytes->size) return std::nullopt;
  // Fills the extension cache, as make_shareable() does; that there is no fingerprint, which needs
  // a provider, is no fault of the certificate.
  const std::uint32_t flags = X509_get_extension_flags(leaf.certificate.get());
  const bool is_plain = (flags & EXFLAG_SET) != 0 && (flags & (EXFLAG_INVALID | EXFLAG_SI)) == 0 &&
                        has_readable_validity(*leaf.certificate);
  if (!is_plain) return std::nullopt;
  leaf.key = decode_public_key(*X509_get_X509_PUBKEY(leaf.certificate.get()));
  if (leaf.key == nullptr) return std::nullopt;
  leaf.der = encode_certificate(*leaf.certificate);
  return leaf;
}

}  // namespace handfast::pki
