#pragma once
// Keys of session tickets: the first encrypts, all decrypt.
//
// A key is 48 or 80 random bytes, as nginx reads them (ssl_session_ticket_key), so that both take
// up each other's sessions while one replaces the other:
//   48: name 16, AES-128 16, HMAC 16        80: name 16, HMAC 32, AES-256 32
// The order differs indeed. A ticket under any but the first key is renewed when it is taken up;
// under TLS 1.3, whose tickets serve once, it always is.
//
// Immutable; shared by all workers. The bytes never leave, and are wiped at the end.

#include <openssl/ssl.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::tls {

class TicketKeyRing {
 public:
  // Of each file the bytes of one key, or lines of hex digits, one key each. BadKey if there are
  // none, or one is of another size; the detail names it by its place. The bytes are wiped.
  static Result<std::shared_ptr<const TicketKeyRing>> load(std::vector<std::string> files);
  // One random key.
  static std::shared_ptr<const TicketKeyRing> make();

  TicketKeyRing(const TicketKeyRing&) = delete;
  TicketKeyRing& operator=(const TicketKeyRing&) = delete;
  ~TicketKeyRing();

  // As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) asks it.
  int apply(const SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
            EVP_MAC_CTX* mac, bool encrypt) const;

 private:
  struct Key {
    std::array<unsigned char, 16> name{};
    std::array<unsigned char, 32> aes{};
    std::array<unsigned char, 32> hmac{};
    std::size_t size = 0;  // of aes and hmac: 16 or 32
  };

  TicketKeyRing() = default;
  bool add(std::string_view bytes);
  bool add_lines(std::string_view text);

  std::vector<Key> keys_;
};

}  // namespace handfast::tls
