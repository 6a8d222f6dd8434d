// Files of session ticket keys: raw keys, or keys in hex, one a line.
//
// The input is split at each 0xff into files. What is taken must encrypt, and decrypt under the
// name that it gave; what is refused says so in a sentence that holds none of the bytes.

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/tls/ticket_keys.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)>;

struct Scene {
  std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> hmac{EVP_MAC_fetch(nullptr, "HMAC", nullptr),
                                                         EVP_MAC_free};
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{SSL_CTX_new(TLS_server_method()),
                                                            SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{SSL_new(context.get()), SSL_free};
};

void use(const tls::TicketKeyRing& ring) {
  static const Scene scene;
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, EVP_MAX_IV_LENGTH> iv{};
  for (const bool encrypt : {true, false}) {
    const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    const MacContext mac(EVP_MAC_CTX_new(scene.hmac.get()), EVP_MAC_CTX_free);
    const int answer =
        ring.apply(scene.ssl.get(), name.data(), iv.data(), cipher.get(), mac.get(), encrypt);
    check(answer == 1 || (!encrypt && answer == 2), "a key that was taken doesn't work");
  }
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  std::vector<std::string> files(1);
  for (const std::byte byte : input) {
    if (byte == std::byte{0xff}) {
      files.emplace_back();
    } else {
      files.back().push_back(std::to_integer<char>(byte));
    }
  }
  const auto ring = tls::TicketKeyRing::load(std::move(files));
  if (ring) {
    use(**ring);
  } else {
    check(ring.error().reason == Reason::BadKey && ring.error().detail.size() < 100);
  }
  check(ERR_peek_error() == 0, "errors were left in the queue");
}

}  // namespace handfast
