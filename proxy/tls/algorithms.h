#pragma once
// Lists of algorithms that an operator wrote: what may stand in them.
//
// OpenSSL skips over names that it doesn't know; a list that says less than it was meant to is
// found when it is loaded, not in the handshake. All answer InvalidValue, with a sentence that
// quotes the list. Pure; thread-safe.

#include <string>

#include "proxy/base/result.h"

namespace handfast::tls {

// 112 bits at least, whatever the machine's openssl.cnf says; suites without authentication or
// encryption are none.
inline constexpr int kSecurityLevel = 2;

// OpenSSL's language for TLS 1.2 ("HIGH:!aNULL"). Something must be left of it.
[[nodiscard]] Status check_cipher_list(const std::string& ciphers);
// Names of TLS 1.3 suites behind one another, ':' between. Each must be known and strong enough.
[[nodiscard]] Status check_cipher_suites(const std::string& suites);
// The same for key exchange groups ("X25519:P-256").
[[nodiscard]] Status check_groups(const std::string& groups);

}  // namespace handfast::tls
