#include "proxy/pki/key_decoder.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/encryption.h"

namespace handfast::pki {
namespace {

using DecoderPtr = std::unique_ptr<OSSL_DECODER_CTX, OpensslDeleter<OSSL_DECODER_CTX_free>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpensslDeleter<PKCS8_PRIV_KEY_INFO_free>>;
using SignaturePtr =
    std::unique_ptr<X509_SIG, OpensslDeleter<X509_SIG_free>>;  // EncryptedPrivateKeyInfo

struct KeyForm {
  std::string_view label;  // of the PEM block
  int algorithm;           // in a PKCS#8 block and a public key; else NID_undef
  const char* type;
  const char* structure;
};

constexpr std::string_view kPublic = "PUBLIC KEY";

constexpr std::array<KeyForm, 12> kForms{{
    {"PRIVATE KEY", NID_X9_62_id_ecPublicKey, "EC", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_rsaEncryption, "RSA", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_rsassaPss, "RSA-PSS", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_ED25519, "ED25519", "PrivateKeyInfo"},
    {"PRIVATE KEY", NID_ED448, "ED448", "PrivateKeyInfo"},
    {"RSA PRIVATE KEY", NID_undef, "RSA", "type-specific"},
    {"EC PRIVATE KEY", NID_undef, "EC", "type-specific"},
    {kPublic, NID_X9_62_id_ecPublicKey, "EC", "SubjectPublicKeyInfo"},
    {kPublic, NID_rsaEncryption, "RSA", "SubjectPublicKeyInfo"},
    {kPublic, NID_rsassaPss, "RSA-PSS", "SubjectPublicKeyInfo"},
    {kPublic, NID_ED25519, "ED25519", "SubjectPublicKeyInfo"},
    {kPublic, NID_ED448, "ED448", "SubjectPublicKeyInfo"},
}};

// One ready-made decoder. It writes to the address that it was made with, so it never moves.
class KeyDecoder {
 public:
  explicit KeyDecoder(const KeyForm& form)
      : decoder_(OSSL_DECODER_CTX_new_for_pkey(
            &slot_, "DER", form.structure, form.type,
            form.label == kPublic ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR, nullptr, nullptr)) {}
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
    if (header != nullptr) header_ = header;
    OPENSSL_secure_free(name);
    OPENSSL_secure_free(header);
  }
  explicit SecretBytes(const PKCS8_PRIV_KEY_INFO& info) {
    const int size = i2d_PKCS8_PRIV_KEY_INFO(&info, nullptr);
    if (size <= 0) return;
    data_ = static_cast<unsigned char*>(OPENSSL_secure_malloc(static_cast<std::size_t>(size)));
    check(data_ != nullptr);
    size_ = static_cast<std::size_t>(size);
    unsigned char* cursor = data_;
    i2d_PKCS8_PRIV_KEY_INFO(&info, &cursor);
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { OPENSSL_secure_clear_free(data_, size_); }

  [[nodiscard]] std::span<const unsigned char> view() const { return {data_, size_}; }
  // The lines between BEGIN and the data: which cipher, in OpenSSL's old form.
  [[nodiscard]] const std::string& header() const { return header_; }

  // Undoes the encryption of the old form, in place. False: it is another passphrase's.
  bool decrypt(EVP_CIPHER_INFO& cipher, const std::string& passphrase) {
    auto size = static_cast<long>(size_);
    const bool done = PEM_do_header(&cipher, data_, &size, give_passphrase,
                                    const_cast<std::string*>(&passphrase)) == 1;
    if (done && size >= 0) left_ = size_ - static_cast<std::size_t>(size);
    return done;
  }
  [[nodiscard]] std::span<const unsigned char> decrypted() const { return {data_, size_ - left_}; }

 private:
  static int give_passphrase(char* space, int size, int, void* passphrase) {
    const auto& text = *static_cast<const std::string*>(passphrase);
    if (text.size() > static_cast<std::size_t>(size)) return -1;
    text.copy(space, text.size());
    return static_cast<int>(text.size());
  }

  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t left_ = 0;  // bytes of padding after what was decrypted
  std::string header_;
};

std::optional<std::size_t> find_form(std::string_view label, int algorithm) {
  for (std::size_t i = 0; i < kForms.size(); ++i) {
    if (kForms[i].label == label && kForms[i].algorithm == algorithm) return i;
  }
  return std::nullopt;
}

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
  return find_form(label, algorithm);
}

EvpPkeyPtr decode_form(std::size_t form, std::span<const unsigned char> der) {
  thread_local std::array<std::unique_ptr<KeyDecoder>, kForms.size()> decoders;
  std::unique_ptr<KeyDecoder>& decoder = decoders[form];
  if (decoder == nullptr) decoder = std::make_unique<KeyDecoder>(kForms[form]);
  return decoder->decode(der);
}

EvpPkeyPtr decode_known_form(std::string_view label, std::span<const unsigned char> der) {
  if (der.empty()) return nullptr;
  const auto form = form_of(label, der);
  return form ? decode_form(*form, der) : nullptr;
}

tl::unexpected<Error> none_fits() {
  return fail(Reason::Passphrase, "none of the passphrases given opens the private key");
}

Result<EvpPkeyPtr> decode_encrypted_pkcs8(const PemBlock& block,
                                          std::span<const std::string> passphrases) {
  const SecretBytes der(block);
  const unsigned char* cursor = der.view().data();
  const SignaturePtr sealed{d2i_X509_SIG(nullptr, &cursor, static_cast<long>(der.view().size()))};
  if (!sealed || cursor != der.view().data() + der.view().size()) {
    return fail(Reason::BadKey, "the private key can't be decoded");
  }
  const X509_ALGOR* algorithm = nullptr;
  X509_SIG_get0(sealed.get(), &algorithm, nullptr);
  if (const auto problem = encryption_problem(*algorithm, passphrases.size())) {
    return fail(Reason::BadKey, "the private key " + *problem);
  }
  for (const std::string& passphrase : passphrases) {
    const Pkcs8Ptr info{
        PKCS8_decrypt(sealed.get(), passphrase.c_str(), static_cast<int>(passphrase.size()))};
    if (!info) continue;
    const SecretBytes plain(*info);
    if (EvpPkeyPtr key = decode_known_form("PRIVATE KEY", plain.view())) return key;
    // Kinds that are not in the table.
    if (EvpPkeyPtr key{EVP_PKCS82PKEY(info.get())}) return key;
  }
  return none_fits();
}

Result<EvpPkeyPtr> decode_encrypted_traditional(const PemBlock& block,
                                                std::span<const std::string> passphrases) {
  EVP_CIPHER_INFO cipher{};
  {
    const SecretBytes der(block);
    std::string header = der.header();
    if (der.view().empty() || PEM_get_EVP_CIPHER_INFO(header.data(), &cipher) != 1 ||
        cipher.cipher == nullptr) {
      return fail(Reason::BadKey, "the private key can't be decoded");
    }
    if (const auto problem = cipher_problem(EVP_CIPHER_get0_name(cipher.cipher))) {
      return fail(Reason::BadKey, "the private key " + *problem);
    }
  }
  for (const std::string& passphrase : passphrases) {
    SecretBytes der(block);
    if (!der.decrypt(cipher, passphrase)) continue;
    if (EvpPkeyPtr key = decode_known_form(block.label, der.decrypted())) return key;
  }
  return none_fits();
}

// Called where OpenSSL would ask for a passphrase on the terminal. (0 would mean an empty one.)
int refuse_passphrase(char*, int, int, void*) { return -1; }

}  // namespace

EvpPkeyPtr decode_private_key(const PemBlock& block) {
  ERR_clear_error();
  if (!block.encrypted) {
    const SecretBytes der(block);
    if (EvpPkeyPtr key = decode_known_form(block.label, der.view())) {
      ERR_clear_error();
      return key;
    }
  }
  // Kinds that are not in the table (ML-DSA), and the error text for what is damaged.
  ERR_clear_error();
  const BioPtr bio = read_only_bio(block.text);
  return EvpPkeyPtr{PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr)};
}

EvpPkeyPtr decode_public_key(X509_PUBKEY& key) {
  ASN1_OBJECT* algorithm = nullptr;
  if (X509_PUBKEY_get0_param(&algorithm, nullptr, nullptr, nullptr, &key) != 1) return nullptr;
  const auto form = find_form(kPublic, OBJ_obj2nid(algorithm));
  if (!form) return nullptr;
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(&key, &der);
  const OpensslBytesPtr owned{der};
  if (size <= 0) return nullptr;
  return decode_form(*form, {der, static_cast<std::size_t>(size)});
}

std::optional<PackedKey> PackedKey::pack(const PemBlock& block) {
  const CleanErrorQueue clean;
  const SecretBytes der(block);
  if (der.view().empty()) return std::nullopt;
  const auto form = form_of(block.label, der.view());
  if (!form) return std::nullopt;
  return PackedKey(*form, der.view());
}

PackedKey::PackedKey(std::size_t form, std::span<const unsigned char> der)
    : form_(form),
      der_(static_cast<unsigned char*>(OPENSSL_memdup(der.data(), der.size()))),
      size_(der.size()) {
  check(der_ != nullptr);
}

PackedKey::PackedKey(PackedKey&& other) noexcept
    : form_(other.form_),
      der_(std::exchange(other.der_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

PackedKey::~PackedKey() { OPENSSL_clear_free(der_, size_); }

EvpPkeyPtr PackedKey::open() const {
  const CleanErrorQueue clean;
  return decode_form(form_, {der_, size_});
}

Result<EvpPkeyPtr> decode_encrypted_key(const PemBlock& block,
                                        std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  if (passphrases.empty()) {
    return fail(Reason::Passphrase, "the private key is encrypted and no passphrase is given");
  }
  return block.label == "ENCRYPTED PRIVATE KEY" ? decode_encrypted_pkcs8(block, passphrases)
                                                : decode_encrypted_traditional(block, passphrases);
}

}  // namespace handfast::pki
