#include "proxy/tls/client_policy.h"

#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

#include <cstddef>

#include "proxy/base/check.h"
#include "proxy/pki/identity.h"

namespace handfast::tls {
namespace {

// Clients read the request as one message, of which many take no more than 16 kB.
constexpr std::size_t kMostAnnounced = 8 * 1024;

}  // namespace

pki::Verdict ClientPolicy::judge(X509* leaf, STACK_OF(X509) * untrusted, UnixSeconds now) const {
  pki::Verdict verdict = pki::verify_chain(leaf, untrusted, trust, crls, rules, now);
  if (!verdict.ok() || !subject || subject->matches(*leaf)) return verdict;
  return {Reason::NameMismatch,
          "no common name of the client's certificate (" + pki::describe(*leaf).subject +
              ") matches auth-tls-match-cn",
          X509_V_ERR_APPLICATION_VERIFICATION, 0};
}

void ClientPolicy::bind_sessions(std::string_view text) {
  unsigned int size = 0;
  check(EVP_Digest(text.data(), text.size(), session_context.data(), &size, EVP_sha256(),
                   nullptr) == 1 &&
            size == session_context.size(),
        "SHA-256");
}

void ClientPolicy::announce_authorities() {
  announced.reset(sk_X509_NAME_new_null());
  check(announced != nullptr);
  std::size_t bytes = 0;
  for (const auto& bundle : trust) {
    for (const pki::X509Ptr& anchor : bundle->anchors()) {
      X509_NAME* const name = X509_get_subject_name(anchor.get());
      const int size = i2d_X509_NAME(name, nullptr);
      bytes += size > 0 ? static_cast<std::size_t>(size) + 2 : 0;
      if (size <= 0 || bytes > kMostAnnounced) {
        announced.reset();
        return;
      }
      X509_NAME* const copy = X509_NAME_dup(name);
      check(copy != nullptr && sk_X509_NAME_push(announced.get(), copy) > 0);
    }
  }
}

}  // namespace handfast::tls
