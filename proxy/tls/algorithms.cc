#include "proxy/tls/algorithms.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::tls {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, pki::OpensslDeleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, pki::OpensslDeleter<SSL_free>>;

// What TLS 1.3 has and the security level allows; this OpenSSL may know fewer.
constexpr std::array<std::string_view, 15> kGroups{
    "X25519",    "X448",      "P-256",     "P-384",          "P-521",
    "secp256r1", "secp384r1", "secp521r1", "prime256v1",     "ffdhe2048",
    "ffdhe3072", "ffdhe4096", "ffdhe6144", "X25519MLKEM768", "SecP256r1MLKEM768"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kOtherNames{
    {{"P-256", "secp256r1"},
     {"prime256v1", "secp256r1"},
     {"P-384", "secp384r1"},
     {"P-521", "secp521r1"}}};

std::string_view group_of(std::string_view name) {
  const auto* const found =
      std::ranges::find(kOtherNames, name, [](const auto& other) { return other.first; });
  return found == kOtherNames.end() ? name : found->second;
}

ContextPtr make_context() {
  ContextPtr context(SSL_CTX_new(TLS_client_method()));
  check(context != nullptr, "SSL_CTX_new");
  SSL_CTX_set_security_level(context.get(), kSecurityLevel);
  return context;
}

// How many suites a connection of that version would offer.
int count_offered(SSL_CTX& context, int version) {
  SSL_CTX_set_min_proto_version(&context, version);
  SSL_CTX_set_max_proto_version(&context, version);
  const SslPtr ssl(SSL_new(&context));
  check(ssl != nullptr, "SSL_new");
  STACK_OF(SSL_CIPHER)* const offered = SSL_get1_supported_ciphers(ssl.get());
  const int count = sk_SSL_CIPHER_num(offered);
  sk_SSL_CIPHER_free(offered);
  return count;
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> names;
  for (;;) {
    const std::size_t colon = list.find(':');
    names.emplace_back(list.substr(0, colon));
    if (colon == std::string_view::npos) return names;
    list.remove_prefix(colon + 1);
  }
}

tl::unexpected<Error> unusable(const std::string& what, std::string_view why) {
  std::string detail = "'" + what.substr(0, 80) + "' ";
  return fail(Reason::InvalidValue, detail.append(why));
}

}  // namespace

Status check_cipher_list(const std::string& ciphers) {
  if (ciphers.find("@SECLEVEL") != std::string::npos) {
    return fail(Reason::InvalidValue, "a cipher list must not set @SECLEVEL");
  }
  const pki::CleanErrorQueue clean;
  const ContextPtr context = make_context();
  // The suites of TLS 1.3 are in every list.
  if (SSL_CTX_set_cipher_list(context.get(), ciphers.c_str()) == 1 &&
      count_offered(*context, TLS1_2_VERSION) > 0) {
    return {};
  }
  return unusable(ciphers, "names no cipher for TLS 1.2 that may be used");
}

Status check_cipher_suites(const std::string& suites) {
  const pki::CleanErrorQueue clean;
  for (const std::string& name : split(suites)) {
    const ContextPtr context = make_context();
    if (name.empty() || SSL_CTX_set_ciphersuites(context.get(), name.c_str()) != 1 ||
        count_offered(*context, TLS1_3_VERSION) != 1) {
      return unusable(name, "is no cipher suite of TLS 1.3 that may be used");
    }
  }
  return {};
}

Status check_groups(const std::string& groups) {
  const pki::CleanErrorQueue clean;
  std::set<std::string_view> seen;
  for (const std::string& name : split(groups)) {
    // Under two names too. OpenSSL 3.0 refuses it, 3.5 doesn't.
    const std::string_view group = group_of(name);
    if (!seen.insert(group).second) return unusable(name, "stands twice");
    const ContextPtr context = make_context();
    if (std::ranges::find(kGroups, name) == kGroups.end() ||
        SSL_CTX_set1_groups_list(context.get(), name.c_str()) != 1) {
      return unusable(name, "is no key exchange group that may be used");
    }
  }
  const ContextPtr context = make_context();
  if (SSL_CTX_set1_groups_list(context.get(), groups.c_str()) == 1) return {};
  return unusable(groups, "is no list of different key exchange groups");
}

}  // namespace handfast::tls
