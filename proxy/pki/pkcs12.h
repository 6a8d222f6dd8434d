#pragma once
// A key and its certificates out of a PKCS#12 file (RFC 7292), the form that Windows, Java and many
// tools hand out.
//
// The file must prove by its MAC that one of the passphrases is its own; only then is anything in
// it believed. Exactly one private key; certificates in any order; other bags are ignored.
//
// Pure; thread-safe. Errors: Passphrase (none fits, or none is given), BadKey (no PKCS#12, no or
// several keys, an old cipher, too costly), BadCertificate (none, or one that can't be read).

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

struct Pkcs12 {
  EvpPkeyPtr key;
  std::vector<X509Ptr> certificates;
};

// Without passphrases, a file that has an empty one opens.
[[nodiscard]] Result<Pkcs12> read_pkcs12(std::string_view bytes,
                                         std::span<const std::string> passphrases);

}  // namespace handfast::pki
