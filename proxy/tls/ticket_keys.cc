#include "proxy/tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::tls {
namespace {

constexpr std::size_t kNameSize = 16;
constexpr std::size_t kSmall = 48;
constexpr std::size_t kLarge = 80;
constexpr std::size_t kMostKeys = 16;

bool start_mac(EVP_MAC_CTX* mac, const unsigned char* key, std::size_t size) {
  // OpenSSL takes both as not const and changes neither.
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key), size),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

}  // namespace

Result<std::shared_ptr<const TicketKeyRing>> TicketKeyRing::load(std::vector<std::string> files) {
  const std::shared_ptr<TicketKeyRing> ring(new TicketKeyRing);
  ring->keys_.reserve(kMostKeys);  // never moved: no copy of a key stays behind
  bool good = true;
  for (std::string& file : files) {
    // Not the text of a shorter key: `openssl rand -hex 24` gives 48 characters.
    const bool raw = (file.size() == kSmall || file.size() == kLarge) &&
                     file.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos;
    good = good && (raw ? ring->add(file) : ring->add_lines(file));
    OPENSSL_cleanse(file.data(), file.size());
  }
  if (!good) {
    return fail(Reason::BadKey, "session ticket key " + std::to_string(ring->keys_.size() + 1) +
                                    " isn't 48 or 80 bytes, or one too many");
  }
  if (ring->keys_.empty()) return fail(Reason::BadKey, "there is no session ticket key");
  return ring;
}

std::shared_ptr<const TicketKeyRing> TicketKeyRing::make() {
  std::string bytes(kLarge, '\0');
  check(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(kLarge)) == 1,
        "RAND_bytes");
  std::vector<std::string> files;
  files.push_back(std::move(bytes));
  auto ring = load(std::move(files));
  check(ring.has_value(), "a key of ours");
  return std::move(*ring);
}

bool TicketKeyRing::add(std::string_view bytes) {
  if ((bytes.size() != kSmall && bytes.size() != kLarge) || keys_.size() == kMostKeys) return false;
  Key& key = keys_.emplace_back();
  const bool large = bytes.size() == kLarge;
  key.size = large ? 32 : 16;
  const char* const first = bytes.data() + kNameSize;
  std::memcpy(key.name.data(), bytes.data(), kNameSize);
  std::memcpy(large ? key.hmac.data() : key.aes.data(), first, key.size);
  std::memcpy(large ? key.aes.data() : key.hmac.data(), first + key.size, key.size);
  return true;
}

bool TicketKeyRing::add_lines(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::array<char, kLarge> bytes{};
    if (line.size() % 2 != 0 || line.size() / 2 > bytes.size()) return false;
    bool good = true;
    for (std::size_t i = 0; i < line.size(); i += 2) {
      const int high = digit(line[i]);
      const int low = digit(line[i + 1]);
      good = good && high >= 0 && low >= 0;
      bytes[i / 2] = static_cast<char>(high * 16 + low);
    }
    good = good && add({bytes.data(), line.size() / 2});
    OPENSSL_cleanse(bytes.data(), bytes.size());
    if (!good) return false;
  }
  return true;
}

TicketKeyRing::~TicketKeyRing() {
  for (Key& key : keys_) OPENSSL_cleanse(&key, sizeof key);
}

int TicketKeyRing::apply(const SSL* ssl, unsigned char* name, unsigned char* iv,
                         EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool encrypt) const {
  const auto cipher_of = [](const Key& key) {
    return key.size == 32 ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
  };
  if (encrypt) {
    const Key& key = keys_.front();
    std::memcpy(name, key.name.data(), key.name.size());
    const bool started =
        RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher_of(key))) == 1 &&
        EVP_EncryptInit_ex(cipher, cipher_of(key), nullptr, key.aes.data(), iv) == 1 &&
        start_mac(mac, key.hmac.data(), key.size);
    return started ? 1 : -1;
  }
  const auto found = std::ranges::find_if(keys_, [name](const Key& key) {
    return std::memcmp(name, key.name.data(), key.name.size()) == 0;
  });
  if (found == keys_.end()) return 0;
  const bool started =
      start_mac(mac, found->hmac.data(), found->size) &&
      EVP_DecryptInit_ex(cipher, cipher_of(*found), nullptr, found->aes.data(), iv) == 1;
  if (!started) return -1;
  const bool renew = SSL_version(ssl) >= TLS1_3_VERSION || found != keys_.begin();
  return renew ? 2 : 1;
}

}  // namespace handfast::tls
