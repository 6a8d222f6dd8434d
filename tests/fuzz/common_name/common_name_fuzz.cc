// auth-tls-match-cn: a pattern from an annotation, and common names from anybody's certificate.
//
// The input up to the first NUL is the pattern, the rest the common name. Nothing may take long or
// crash; a pattern is refused with a sentence, or it is one, and then a name of plain letters that
// is the pattern's own literal text matches.

#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/pki/common_name.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

constexpr std::size_t kMostName = 4096;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Certificate certificate_of(std::string_view name) {
  Certificate certificate(X509_new(), X509_free);
  check(certificate != nullptr);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  ERR_clear_error();
  // What is no UTF-8 isn't added: a subject without a CN.
  (void)X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                   reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<int>(name.size()), -1, 0);
  ERR_clear_error();
  return certificate;
}

bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const std::string_view pattern = text.substr(0, text.find('\0'));
  const std::string_view name =
      pattern.size() == text.size() ? std::string_view() : text.substr(pattern.size() + 1);
  const auto compiled = pki::CommonNamePattern::compile(pattern);
  if (!compiled) {
    check(compiled.error().reason == Reason::InvalidValue && !compiled.error().detail.empty());
    return;
  }
  (void)compiled->matches(*certificate_of(name.substr(0, std::min(name.size(), kMostName))));
  const std::string_view literal = pattern.substr(std::min<std::size_t>(3, pattern.size()));
  if (is_plain(literal)) {
    check(compiled->matches(*certificate_of(literal)), "a literal doesn't match itself");
    check(!compiled->matches(*certificate_of(std::string(literal) + "x")), "a part was enough");
    check(!compiled->matches(*certificate_of("x" + std::string(literal))), "a part was enough");
  }
  check(ERR_peek_error() == 0, "errors were left in the queue");
}

}  // namespace handfast
