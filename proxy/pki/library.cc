#include "proxy/pki/library.h"

#include <openssl/crypto.h>

#include "proxy/base/check.h"

namespace handfast::pki {

void start_openssl() {
  check(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1, "OpenSSL does not start");
}

std::string openssl_version() { return OpenSSL_version(OPENSSL_VERSION); }

}  // namespace handfast::pki
