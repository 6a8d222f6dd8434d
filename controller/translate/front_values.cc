#include "controller/translate/front_values.h"

#include <algorithm>
#include <array>
#include <span>

#include "controller/translate/findings.h"
#include "controller/translate/tls_values.h"

namespace handfast::translate {
namespace {

// Suites of TLS 1.2 that both sides may use: known to OpenSSL at its security level 2.
constexpr auto kSuites = std::to_array<std::string_view>({
    "AES128-GCM-SHA256",
    "AES128-SHA",
    "AES128-SHA256",
    "AES256-GCM-SHA384",
    "AES256-SHA",
    "AES256-SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
});
// Words for several suites, ciphers(1); joined by '+' they mean what all have in common.
constexpr auto kWords = std::to_array<std::string_view>({
    "AES",    "AES128", "AES256", "AESGCM", "ALL",    "CHACHA20", "DEFAULT", "ECDHE",
    "ECDSA",  "EECDH",  "HIGH",   "MEDIUM", "RSA",    "SHA",      "SHA1",    "SHA256",
    "SHA384", "aECDSA", "aRSA",   "kECDHE", "kEECDH", "kRSA",
});
// What lists of all ages take out.
constexpr auto kTakenOut = std::to_array<std::string_view>({
    "3DES",
    "ADH",
    "AECDH",
    "ARIA",
    "CAMELLIA",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "ECDH",
    "EDH",
    "EXP",
    "EXPORT",
    "IDEA",
    "LOW",
    "MD5",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "SEED",
    "SRP",
    "aDSS",
    "aECDH",
    "aNULL",
    "eNULL",
    "kDHE",
    "kEDH",
    "kPSK",
    "EDH-DSS-DES-CBC3-SHA",
    "EDH-RSA-DES-CBC3-SHA",
    "KRB5-DES-CBC3-SHA",
});
constexpr std::size_t kLongestList = 4096;
constexpr auto kGroups = std::to_array<std::string_view>({
    "P-256",
    "P-384",
    "P-521",
    "SecP256r1MLKEM768",
    "X25519",
    "X25519MLKEM768",
    "X448",
    "ffdhe2048",
    "ffdhe3072",
    "ffdhe4096",
    "ffdhe6144",
    "prime256v1",
    "secp256r1",
    "secp384r1",
    "secp521r1",
});

bool is_in(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

template <class Each>
void split(std::string_view text, char separator, Each each) {
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    each(text.substr(0, end));
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

bool is_known(std::string_view element) {
  const bool takes_out = element.starts_with('!') || element.starts_with('-');
  if (takes_out || element.starts_with('+')) element.remove_prefix(1);
  if (is_in(kSuites, element)) return true;
  bool known = true;
  split(element, '+', [&](std::string_view word) {
    known = known && (is_in(kWords, word) || (takes_out && is_in(kTakenOut, word)));
  });
  return known || (takes_out && is_in(kTakenOut, element));
}

}  // namespace

Result<FrontCiphers> parse_front_ciphers(std::string_view value) {
  if (value.size() > kLongestList) {
    return fail(Reason::InvalidValue, quoted(value) + " is too long for a list of ciphers.");
  }
  FrontCiphers ciphers;
  std::string_view unknown;
  split(value, ':', [&](std::string_view element) {
    if (element.empty()) return;
    if (element.starts_with("TLS_") || element.starts_with("DHE-")) {
      ciphers.without_effect.emplace_back(element);
      return;
    }
    if (unknown.empty() && !is_known(element)) unknown = element;
    if (!ciphers.list.empty()) ciphers.list += ':';
    ciphers.list += element;
  });
  if (!unknown.empty()) {
    return fail(Reason::InvalidValue,
                quoted(unknown) + " is no cipher of TLS 1.2 that is offered.");
  }
  auto list = parse_ciphers(ciphers.list);
  if (!list) return fail(std::move(list.error()));
  return ciphers;
}

Result<std::string> parse_front_groups(std::string_view value) {
  if (value == "auto") return std::string();
  std::string_view unknown;
  bool any_unknown = false;
  split(value, ':', [&](std::string_view name) {
    if (!any_unknown && !is_in(kGroups, name)) {
      unknown = name;
      any_unknown = true;
    }
  });
  if (any_unknown) {
    return fail(Reason::InvalidValue, quoted(unknown) + " is no group for the key exchange.");
  }
  return std::string(value);
}

}  // namespace handfast::translate
