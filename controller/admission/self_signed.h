#pragma once
// Keys and certificates that we make for ourselves: ECDSA P-256, in memory only.
//
// The certificate is its own anchor and no CA: whoever trusts it trusts this server and nobody that
// it could vouch for. Threading: any thread. Errors: OpenSSL's own.

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

// The common name of all of them.
inline constexpr std::string_view kSelfSignedName = "handfast-controller";

struct SelfSigned {
  std::string certificate;  // PEM
  std::string key;          // PEM, PKCS#8, not encrypted
  std::string crl;          // PEM, empty lists; if asked for
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
};

struct SelfSignedOptions {
  std::vector<std::string> names;  // DNS names
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
  // A CA instead, with a CRL of its own without an entry.
  bool with_crl = false;
};

[[nodiscard]] Result<SelfSigned> make_self_signed(const SelfSignedOptions& options);

}  // namespace handfast::admission
