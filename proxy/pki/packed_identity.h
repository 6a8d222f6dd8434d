#pragma once
// A certificate chain and its key: as OpenSSL's objects while they are used, else as DER, which
// takes a tenth of their 7 kB.
//
// Of all packed ones of the process the kMostOpen that were used last are open; to open one takes
// 0.2 ms, of which OpenSSL 3.0 spends most on looking for a decoder of the public key.
// Intermediates (intermediates.h) stay open: a long chain would cost its length again with each
// opening.
//
// Immutable; any number of threads may use one. The key's bytes are wiped when they go.

#include <openssl/x509.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "proxy/pki/key_decoder.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

struct OpenIdentity {
  X509Ptr leaf;
  X509StackPtr intermediates;  // in sending order, without the leaf; never null
  EvpPkeyPtr key;
};

class PackedIdentity {
 public:
  static constexpr std::size_t kMostOpen = 1024;

  // `leaf`: DER; `intermediates`: shared, in sending order.
  PackedIdentity(std::vector<unsigned char> leaf, std::vector<std::shared_ptr<X509>> intermediates,
                 PackedKey key);
  PackedIdentity(const PackedIdentity&) = delete;
  PackedIdentity& operator=(const PackedIdentity&) = delete;
  ~PackedIdentity();

  // Null only if OpenSSL doesn't take what was judged good when it was loaded. Good as long as it
  // is held, and what OpenSSL counts a use of for as long as that.
  [[nodiscard]] std::shared_ptr<const OpenIdentity> open() const;

  // The same, made anew.
  [[nodiscard]] std::shared_ptr<const OpenIdentity> unpack() const;

  // How many of the process are open.
  [[nodiscard]] static std::size_t count_open();

 private:
  [[nodiscard]] X509StackPtr intermediates() const;

  PackedKey key_;
  std::vector<unsigned char> leaf_;
  std::vector<std::shared_ptr<X509>> intermediates_;
};

}  // namespace handfast::pki
