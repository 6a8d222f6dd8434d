#pragma once
// Owning pointers for OpenSSL's types: one deleter, one alias per type; and the error queue as
// text.

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace handfast::pki {

template <auto Free>
struct OpensslDeleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

inline void free_certificate_stack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }
inline void free_name_stack(STACK_OF(X509_NAME) * stack) {
  sk_X509_NAME_pop_free(stack, X509_NAME_free);
}
// For a stack that borrows its certificates.
inline void free_borrowing_stack(STACK_OF(X509) * stack) { sk_X509_free(stack); }
inline void free_any_stack(STACK_OF(ASN1_TYPE) * stack) {
  sk_ASN1_TYPE_pop_free(stack, ASN1_TYPE_free);
}
inline void free_openssl_bytes(void* bytes) { OPENSSL_free(bytes); }

using BioPtr = std::unique_ptr<BIO, OpensslDeleter<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using X509RevokedPtr = std::unique_ptr<X509_REVOKED, OpensslDeleter<X509_REVOKED_free>>;
using X509CrlPtr = std::unique_ptr<X509_CRL, OpensslDeleter<X509_CRL_free>>;
using X509StorePtr = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;
using X509StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, OpensslDeleter<X509_STORE_CTX_free>>;
using X509NamePtr = std::unique_ptr<X509_NAME, OpensslDeleter<X509_NAME_free>>;
using X509AlgorPtr = std::unique_ptr<X509_ALGOR, OpensslDeleter<X509_ALGOR_free>>;
using EvpPkeyPtr = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslDeleter<BN_free>>;
using Asn1IntegerPtr = std::unique_ptr<ASN1_INTEGER, OpensslDeleter<ASN1_INTEGER_free>>;
using Asn1EnumeratedPtr = std::unique_ptr<ASN1_ENUMERATED, OpensslDeleter<ASN1_ENUMERATED_free>>;
using Asn1TypesPtr = std::unique_ptr<STACK_OF(ASN1_TYPE), OpensslDeleter<free_any_stack>>;
using AuthorityKeyIdPtr = std::unique_ptr<AUTHORITY_KEYID, OpensslDeleter<AUTHORITY_KEYID_free>>;
using IssuingDistPointPtr =
    std::unique_ptr<ISSUING_DIST_POINT, OpensslDeleter<ISSUING_DIST_POINT_free>>;
using CrlDistPointsPtr = std::unique_ptr<CRL_DIST_POINTS, OpensslDeleter<CRL_DIST_POINTS_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDeleter<GENERAL_NAMES_free>>;
using X509StackPtr = std::unique_ptr<STACK_OF(X509), OpensslDeleter<free_certificate_stack>>;
using NameStackPtr = std::unique_ptr<STACK_OF(X509_NAME), OpensslDeleter<free_name_stack>>;
using BorrowedX509StackPtr = std::unique_ptr<STACK_OF(X509), OpensslDeleter<free_borrowing_stack>>;
using OpensslBytesPtr = std::unique_ptr<unsigned char, OpensslDeleter<free_openssl_bytes>>;

// Takes every error off this thread's queue and joins their texts; "" if there is none. Never
// contains key material (OpenSSL's texts name functions and reasons only).
[[nodiscard]] std::string drain_openssl_errors();

// Leaves this thread's error queue empty at both ends of a scope. The queue belongs to the thread,
// not to a connection: what one call leaves behind is the next connection's puzzling failure.
class CleanErrorQueue {
 public:
  CleanErrorQueue();
  ~CleanErrorQueue();
  CleanErrorQueue(const CleanErrorQueue&) = delete;
  CleanErrorQueue& operator=(const CleanErrorQueue&) = delete;
};

}  // namespace handfast::pki
