#pragma once
// The OpenSSL that the process runs on.

#include <string>

namespace handfast::pki {

// Starts the library without openssl.cnf: what a machine's file says must not change what we
// accept. Call it first in main(); anything of OpenSSL that runs before it reads the file.
void start_openssl();

// "OpenSSL 3.0.15 3 Sep 2024": of the library at run time, not of the headers.
[[nodiscard]] std::string openssl_version();

}  // namespace handfast::pki
