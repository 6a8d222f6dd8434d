#include "proxy/pki/pkcs12.h"

#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include <climits>
#include <memory>
#include <optional>
#include <utility>

#include "proxy/pki/encryption.h"
#include "proxy/pki/pem.h"

namespace handfast::pki {
namespace {

inline void free_safes(STACK_OF(PKCS7) * safes) { sk_PKCS7_pop_free(safes, PKCS7_free); }
inline void free_bags(STACK_OF(PKCS12_SAFEBAG) * bags) {
  sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

using Pkcs12Ptr = std::unique_ptr<PKCS12, OpensslDeleter<PKCS12_free>>;
using SafesPtr = std::unique_ptr<STACK_OF(PKCS7), OpensslDeleter<free_safes>>;
using BagsPtr = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), OpensslDeleter<free_bags>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpensslDeleter<PKCS8_PRIV_KEY_INFO_free>>;

constexpr std::string_view kDamaged = "is damaged: export it again";
// Bags lie in bags; no tool nests them deeper than once.
constexpr int kMaxNesting = 4;
// Each costs what its iterations say; openssl pkcs12 -export makes two.
constexpr int kMaxEncrypted = 4;

// As OpenSSL takes it: null is not the same as empty.
struct Secret {
  const char* text = nullptr;
  int size = 0;
};

Result<Pkcs12Ptr> decode(std::string_view bytes) {
  if (bytes.find("-----BEGIN ") != std::string_view::npos) {
    return fail(Reason::BadKey, "is PEM text, not PKCS#12: give it as tls.crt and tls.key");
  }
  const auto* cursor = reinterpret_cast<const unsigned char*>(bytes.data());
  const unsigned char* end = cursor + bytes.size();
  if (bytes.empty() || bytes.size() > INT_MAX) return fail(Reason::BadKey, "is no PKCS#12 file");
  Pkcs12Ptr file{d2i_PKCS12(nullptr, &cursor, static_cast<long>(bytes.size()))};
  if (!file || cursor != end) return fail(Reason::BadKey, "is no PKCS#12 file");
  return file;
}

// Before the MAC is computed: how dear that would be.
Status check_mac(const PKCS12& file, std::size_t attempts) {
  if (PKCS12_mac_present(&file) != 1) {
    return fail(Reason::BadKey, "has no MAC, so nothing proves its content: export it with one");
  }
  const X509_ALGOR* algorithm = nullptr;
  const ASN1_INTEGER* iterations = nullptr;
  PKCS12_get0_mac(nullptr, &algorithm, nullptr, &iterations, &file);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  if (EVP_get_digestbynid(OBJ_obj2nid(object)) == nullptr) {
    return fail(Reason::BadKey, "has a MAC of a kind that isn't supported: export it with SHA-256");
  }
  if (auto problem = cost_problem(iterations, attempts)) return fail(Reason::BadKey, *problem);
  return {};
}

Result<Secret> find_passphrase(PKCS12& file, std::span<const std::string> passphrases) {
  std::vector<Secret> secrets;
  for (const std::string& text : passphrases) {
    secrets.push_back({text.c_str(), static_cast<int>(text.size())});
  }
  if (passphrases.empty()) secrets = {{nullptr, 0}, {"", 0}};
  if (Status fit = check_mac(file, secrets.size()); !fit) return fail(fit.error());
  for (const Secret& secret : secrets) {
    if (PKCS12_verify_mac(&file, secret.text, secret.size) == 1) return secret;
  }
  return fail(Reason::Passphrase, passphrases.empty()
                                      ? "is protected by a passphrase and none is given"
                                      : "none of the passphrases given opens it");
}

class Reader {
 public:
  explicit Reader(Secret secret) : secret_(secret) {}

  Result<Pkcs12> run(const PKCS12& file) {
    const SafesPtr safes{PKCS12_unpack_authsafes(&file)};
    if (!safes) return fail(Reason::BadKey, std::string(kDamaged));
    for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
      if (Status read = read_safe(sk_PKCS7_value(safes.get(), i)); !read) return fail(read.error());
    }
    if (!content_.key) return fail(Reason::BadKey, "holds no private key");
    if (content_.certificates.empty()) {
      return fail(Reason::BadCertificate, "holds no certificate");
    }
    return std::move(content_);
  }

 private:
  Status read_safe(PKCS7* safe) {
    BagsPtr bags;
    if (PKCS7_type_is_data(safe)) {
      bags.reset(PKCS12_unpack_p7data(safe));
    } else if (PKCS7_type_is_encrypted(safe) && safe->d.encrypted != nullptr &&
               safe->d.encrypted->enc_data != nullptr &&
               safe->d.encrypted->enc_data->algorithm != nullptr) {
      const X509_ALGOR& algorithm = *safe->d.encrypted->enc_data->algorithm;
      if (++encrypted_ > kMaxEncrypted) {
        return fail(Reason::BadKey, "is encrypted in too many pieces: export it again");
      }
      if (auto problem = encryption_problem(algorithm, kMaxEncrypted)) {
        return fail(Reason::BadKey, std::move(*problem));
      }
      bags.reset(PKCS12_unpack_p7encdata(safe, secret_.text, secret_.size));
    } else {
      return fail(Reason::BadKey, "is protected by a public key, which is not supported");
    }
    if (!bags) return fail(Reason::BadKey, std::string(kDamaged));
    return read_bags(bags.get(), 0);
  }

  Status read_bags(const STACK_OF(PKCS12_SAFEBAG) * bags, int nesting) {
    if (nesting > kMaxNesting) return fail(Reason::BadKey, std::string(kDamaged));
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
      if (Status read = read_bag(sk_PKCS12_SAFEBAG_value(bags, i), nesting); !read) return read;
    }
    return {};
  }

  Status read_bag(PKCS12_SAFEBAG* bag, int nesting) {
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
      case NID_keyBag:
        return take_key(PKCS12_SAFEBAG_get0_p8inf(bag));
      case NID_pkcs8ShroudedKeyBag:
        return take_encrypted_key(bag);
      case NID_certBag:
        return take_certificate(bag);
      case NID_safeContentsBag:
        return read_bags(PKCS12_SAFEBAG_get0_safes(bag), nesting + 1);
      default:
        return {};
    }
  }

  Status take_encrypted_key(const PKCS12_SAFEBAG* bag) {
    if (content_.key) {
      return fail(Reason::BadKey, "holds more than one private key: keep one");
    }
    if (++encrypted_ > kMaxEncrypted) return fail(Reason::BadKey, std::string(kDamaged));
    const X509_ALGOR* algorithm = nullptr;
    X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, nullptr);
    if (auto problem = encryption_problem(*algorithm, kMaxEncrypted)) {
      return fail(Reason::BadKey, "the private key " + *problem);
    }
    const Pkcs8Ptr info{PKCS12_decrypt_skey(bag, secret_.text, secret_.size)};
    return take_key(info.get());
  }

  Status take_key(const PKCS8_PRIV_KEY_INFO* info) {
    if (content_.key) {
      return fail(Reason::BadKey, "holds more than one private key: keep one");
    }
    if (info != nullptr) content_.key.reset(EVP_PKCS82PKEY(info));
    if (!content_.key) return fail(Reason::BadKey, "holds a private key that can't be read");
    return {};
  }

  Status take_certificate(const PKCS12_SAFEBAG* bag) {
    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate) return {};
    X509Ptr certificate{PKCS12_SAFEBAG_get1_cert(bag)};
    const std::string place = entry_text(content_.certificates.size());
    if (!certificate) return within(place, Error{Reason::BadCertificate, "can't be decoded"});
    if (Status usable = make_shareable(*certificate, Reason::BadCertificate); !usable) {
      return within(place, usable.error());
    }
    content_.certificates.push_back(std::move(certificate));
    return {};
  }

  Secret secret_;
  Pkcs12 content_;
  int encrypted_ = 0;  // pieces opened
};

}  // namespace

Result<Pkcs12> read_pkcs12(std::string_view bytes, std::span<const std::string> passphrases) {
  const CleanErrorQueue clean;
  const auto file = decode(bytes);
  if (!file) return fail(file.error());
  const auto secret = find_passphrase(**file, passphrases);
  if (!secret) return fail(secret.error());
  return Reader(*secret).run(**file);
}

}  // namespace handfast::pki
