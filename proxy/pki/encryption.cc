#include "proxy/pki/encryption.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/objects.h>

#include <memory>
#include <string_view>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {
namespace {

using Pbes2Ptr = std::unique_ptr<PBE2PARAM, OpensslDeleter<PBE2PARAM_free>>;
using Pbkdf2Ptr = std::unique_ptr<PBKDF2PARAM, OpensslDeleter<PBKDF2PARAM_free>>;
using PbePtr = std::unique_ptr<PBEPARAM, OpensslDeleter<PBEPARAM_free>>;
using ScryptPtr = std::unique_ptr<SCRYPT_PARAMS, OpensslDeleter<SCRYPT_PARAMS_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, OpensslDeleter<EVP_CIPHER_free>>;

constexpr std::string_view kAgain = "; encrypt it again with AES-256 (PBES2)";

template <class Ptr>
Ptr parameters_of(const X509_ALGOR& algorithm, const ASN1_ITEM* item) {
  return Ptr{
      static_cast<typename Ptr::pointer>(ASN1_TYPE_unpack_sequence(item, algorithm.parameter))};
}

std::string name_of(const ASN1_OBJECT* object) {
  char text[80] = {};
  OBJ_obj2txt(text, sizeof text, object, 0);
  return printable(text, sizeof text);
}

std::optional<std::string> unreadable() {
  return "is encrypted in a way that can't be read" + std::string(kAgain);
}

// Zero where the number is absent, negative or beyond 64 bits: no honest file has such.
std::uint64_t number_of(const ASN1_INTEGER* number) {
  std::uint64_t value = 0;
  return number != nullptr && ASN1_INTEGER_get_uint64(&value, number) == 1 ? value : 0;
}

std::optional<std::string> costs(std::uint64_t one, std::size_t attempts) {
  if (one != 0 && attempts != 0 && one <= kMaxPassphraseCost / attempts) return std::nullopt;
  return "asks for too much work for each passphrase (" + std::to_string(one) + " iterations, " +
         std::to_string(attempts) + " passphrases); use fewer iterations";
}

std::optional<std::string> scrypt_problem(const X509_ALGOR& function, std::size_t attempts) {
  const auto scrypt = parameters_of<ScryptPtr>(function, ASN1_ITEM_rptr(SCRYPT_PARAMS));
  if (!scrypt) return unreadable();
  std::uint64_t cost = 1;
  for (const ASN1_INTEGER* factor :
       {scrypt->costParameter, scrypt->blockSize, scrypt->parallelizationParameter}) {
    const std::uint64_t value = number_of(factor);
    if (value == 0 || value > kMaxPassphraseCost / cost) return costs(value, 0);
    cost *= value;
  }
  return costs(cost, attempts);
}

// RFC 8018 section 6.2.
std::optional<std::string> pbes2_problem(const X509_ALGOR& algorithm, std::size_t attempts) {
  const auto scheme = parameters_of<Pbes2Ptr>(algorithm, ASN1_ITEM_rptr(PBE2PARAM));
  if (!scheme) return unreadable();
  const ASN1_OBJECT* cipher = nullptr;
  X509_ALGOR_get0(&cipher, nullptr, nullptr, scheme->encryption);
  const int nid = OBJ_obj2nid(cipher);
  if (nid == NID_undef) return "is encrypted with " + name_of(cipher) + std::string(kAgain);
  if (auto problem = cipher_problem(OBJ_nid2sn(nid))) return problem;
  const ASN1_OBJECT* function = nullptr;
  X509_ALGOR_get0(&function, nullptr, nullptr, scheme->keyfunc);
  if (OBJ_obj2nid(function) == NID_id_scrypt) return scrypt_problem(*scheme->keyfunc, attempts);
  const auto pbkdf2 = parameters_of<Pbkdf2Ptr>(*scheme->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM));
  if (OBJ_obj2nid(function) != NID_id_pbkdf2 || !pbkdf2) return unreadable();
  return costs(number_of(pbkdf2->iter), attempts);
}

}  // namespace

std::optional<std::string> cost_problem(const ASN1_INTEGER* iterations, std::size_t attempts) {
  return costs(iterations == nullptr ? 1 : number_of(iterations), attempts);
}

std::optional<std::string> cipher_problem(const char* name) {
  const CleanErrorQueue clean;
  const CipherPtr cipher{EVP_CIPHER_fetch(nullptr, name, nullptr)};
  if (cipher) return std::nullopt;
  return "is encrypted with " + std::string(name) +
         ", an old cipher that OpenSSL 3 leaves to its legacy provider, which isn't loaded" +
         std::string(kAgain);
}

std::optional<std::string> encryption_problem(const X509_ALGOR& algorithm, std::size_t attempts) {
  const CleanErrorQueue clean;
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, &algorithm);
  const int nid = OBJ_obj2nid(object);
  if (nid == NID_pbes2) return pbes2_problem(algorithm, attempts);
  int cipher = NID_undef;
  if (EVP_PBE_find(EVP_PBE_TYPE_OUTER, nid, &cipher, nullptr, nullptr) != 1 ||
      cipher == NID_undef || cipher < 0) {
    return "is encrypted with " + name_of(object) + ", which isn't known" + std::string(kAgain);
  }
  if (auto problem = cipher_problem(OBJ_nid2sn(cipher))) return problem;
  const auto pbe = parameters_of<PbePtr>(algorithm, ASN1_ITEM_rptr(PBEPARAM));
  if (!pbe) return unreadable();
  return costs(number_of(pbe->iter), attempts);
}

}  // namespace handfast::pki
