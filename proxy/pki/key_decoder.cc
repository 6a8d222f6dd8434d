#include "proxy/pki/key_decoder.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace handfast::pki {
namespace {

using DecoderPtr = std::unique_ptr<OSSL_DECODER_CTX, OpensslDeleter<OSSL_DECODER_CTX_free>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpensslDeleter<PKCS8_PRIV_KEY_INFO_free>>;

struct KeyForm {
  std::string_view label;  // of the PEM block
  int algorithm;           // in a PKCS#8 block; else NID_undef
  const char* type;
  const char* structure;
};

constexpr std::array<KeyForm, 7> kForms{{
    {"PRIVATE KEY", NID_X9_62_id_ecPublicKey, "EC", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_rsaEncryption, "RSA", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_rsassaPss, "RSA-PSS", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_ED25519, "ED25519", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_ED448, "ED448", "PrivateKeyInfo"},
    {"RSA PRIVATE KEY", NID_undef, "RSA", "type-specific"},
    {"EC PRIVATE KEY", NID_undef, "EC", "type-specific"},
}};

// One ready-made decoder. It writes to the address that it was made with, so it never moves.
class KeyDecoder {
 public:
  explicit KeyDecoder(const KeyForm& form)
      : decoder_(OSSL_DECODER_CTX_new_for_pkey(&slot_, "DER", form.structure, form.type,
                                               EVP_PKEY_KEYPAIR, nullptr, nullptr)) {}
  KeyDecoder(const KeyDecoder&) = delete;
  KeyDecoder& operator=(const KeyDecoder&) = delete;
  ~KeyDecoder() { EVP_PKEY_free(slot_); }

  EvpPkeyPtr decode(std::span<const unsigned char> der) {
    const unsigned char* cursor = der.data();
    std::size_t left = der.size();
    const bool decoded =
        decoder_ != nullptr && OSSL_DECODER_from_data(decoder_.get(), &cursor, &left) == 1;
    EvpPkeyPtr key{slot_};
    slot_ = nullptr;
    return decoded && left == 0 ? std::move(key) : nullptr;
  }

 private:
  EVP_PKEY* slot_ = nullptr;
  DecoderPtr decoder_;
};

// Bytes of a key, wiped when they go.
class SecretBytes {
 public:
  explicit SecretBytes(const PemBlock& block) {
    const BioPtr bio = read_only_bio(block.text);
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio_ex(bio.get(), &name, &header, &data, &size,
                        PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
      data_ = data;
      size_ = static_cast<std::size_t>(size);
    }
    OPENSSL_secure_free(name);
    OPENSSL_secure_free(header);
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { OPENSSL_secure_clear_free(data_, size_); }

  [[nodiscard]] std::span<const unsigned char> view() const { return {data_, size_}; }

 private:
  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

// Which of kForms the bytes are, by their label and, in PKCS#8, their algorithm.
std::optional<std::size_t> form_of(std::string_view label, std::span<const unsigned char> der) {
  int algorithm = NID_undef;
  if (label == "PRIVATE KEY") {
    const unsigned char* cursor = der.data();
    const Pkcs8Ptr info{d2i_PKCS8_PRIV_KEY_INFO(nullptr, &cursor, static_cast<long>(der.size()))};
    const ASN1_OBJECT* id = nullptr;
    if (!info || PKCS8_pkey_get0(&id, nullptr, nullptr, nullptr, info.get()) != 1) {
      return std::nullopt;
    }
    algorithm = OBJ_obj2nid(id);
  }
  for (std::size_t i = 0; i < kForms.size(); ++i) {
    if (kForms[i].label == label && kForms[i].algorithm == algorithm) return i;
  }
  return std::nullopt;
}

EvpPkeyPtr decode_known_form(const PemBlock& block) {
  thread_local std::array<std::unique_ptr<KeyDecoder>, kForms.size()> decoders;
  const SecretBytes der(block);
  if (der.view().empty()) return nullptr;
  const auto form = form_of(block.label, der.view());
  if (!form) return nullptr;
  std::unique_ptr<KeyDecoder>& decoder = decoders[*form];
  if (decoder == nullptr) decoder = std::make_unique<KeyDecoder>(kForms[*form]);
  return decoder->decode(der.view());
}

// Called where OpenSSL would ask for a passphrase on the terminal. (0 would mean an empty one.)
int refuse_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

EvpPkeyPtr decode_private_key(const PemBlock& block) {
  ERR_clear_error();
  if (!block.encrypted) {
    if (EvpPkeyPtr key = decode_known_form(block)) {
      ERR_clear_error();
      return key;
    }
  }
  // Kinds that are not in the table (ML-DSA), and the error text for what is damaged.
  ERR_clear_error();
  const BioPtr bio = read_only_bio(block.text);
  return EvpPkeyPtr{PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr)};
}

}  // namespace handfast::pki
