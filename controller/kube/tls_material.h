#pragma once
// Prepares the TLS contexts that cpprestsdk makes, one for each connection, so that nothing of its
// defaults is left: TLS 1.2 or newer, the CAs of the kubeconfig and no others (the library has
// loaded the system's roots before), the name or address by a SAN alone, our certificate.
//
// Threading: any thread. Ownership: a context shares the store of CAs, which is made once for each
// content. Errors: a sentence that names the field; a context that could not be prepared trusts
// nobody.

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "controller/kube/credentials.h"
#include "proxy/base/result.h"

struct ssl_ctx_st;
struct x509_store_st;

namespace handfast::kube {

class TlsMaterial final {
 public:
  // `name`: what the server's certificate must have; an IP address or a DNS name.
  TlsMaterial(std::string name, bool is_address)
      : name_(std::move(name)), is_address_(is_address) {}

  [[nodiscard]] Status prepare(ssl_ctx_st* context, const Credentials::Pems& pems);
  // A context that could not be prepared: no handshake of it succeeds.
  static void close_off(ssl_ctx_st* context);

 private:
  [[nodiscard]] Status use_ca(ssl_ctx_st* context, const std::string& pem);

  const std::string name_;
  const bool is_address_;
  std::mutex mutex_;
  std::string ca_pem_;                    // guarded by mutex_
  std::shared_ptr<x509_store_st> store_;  // guarded by mutex_
};

}  // namespace handfast::kube
