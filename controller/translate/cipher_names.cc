#include "controller/translate/cipher_names.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "controller/translate/findings.h"

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
// The rest of what that level has, without DSS.
constexpr auto kSuitesToBackends = std::to_array<std::string_view>({
    "AES128-CCM",
    "AES128-CCM8",
    "AES256-CCM",
    "AES256-CCM8",
    "ARIA128-GCM-SHA256",
    "ARIA256-GCM-SHA384",
    "CAMELLIA128-SHA",
    "CAMELLIA128-SHA256",
    "CAMELLIA256-SHA",
    "CAMELLIA256-SHA256",
    "DHE-RSA-AES128-CCM",
    "DHE-RSA-AES128-CCM8",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES128-SHA",
    "DHE-RSA-AES128-SHA256",
    "DHE-RSA-AES256-CCM",
    "DHE-RSA-AES256-CCM8",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES256-SHA",
    "DHE-RSA-AES256-SHA256",
    "DHE-RSA-ARIA128-GCM-SHA256",
    "DHE-RSA-ARIA256-GCM-SHA384",
    "DHE-RSA-CAMELLIA128-SHA",
    "DHE-RSA-CAMELLIA128-SHA256",
    "DHE-RSA-CAMELLIA256-SHA",
    "DHE-RSA-CAMELLIA256-SHA256",
    "DHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ARIA128-GCM-SHA256",
    "ECDHE-ARIA256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES256-CCM",
    "ECDHE-ECDSA-AES256-CCM8",
    "ECDHE-ECDSA-ARIA128-GCM-SHA256",
    "ECDHE-ECDSA-ARIA256-GCM-SHA384",
    "ECDHE-ECDSA-CAMELLIA128-SHA256",
    "ECDHE-ECDSA-CAMELLIA256-SHA384",
    "ECDHE-RSA-CAMELLIA128-SHA256",
    "ECDHE-RSA-CAMELLIA256-SHA384",
});
constexpr auto kWordsToBackends = std::to_array<std::string_view>({
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "DHE",
    "EDH",
    "kDHE",
    "kEDH",
});

constexpr auto kTls13Suites = std::to_array<std::string_view>({
    "TLS_AES_128_CCM_8_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
});
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
constexpr auto kOtherNames = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"P-256", "secp256r1"},
    {"prime256v1", "secp256r1"},
    {"P-384", "secp384r1"},
    {"P-521", "secp521r1"},
});

std::string_view group_of(std::string_view name) {
  const auto* const found =
      std::ranges::find(kOtherNames, name, [](const auto& other) { return other.first; });
  return found == kOtherNames.end() ? name : found->second;
}

bool is_in(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_suite(std::string_view name, CipherUse use) {
  return is_in(kSuites, name) || (use == CipherUse::Backends && is_in(kSuitesToBackends, name));
}

bool is_word(std::string_view name, CipherUse use) {
  return is_in(kWords, name) || (use == CipherUse::Backends && is_in(kWordsToBackends, name));
}

bool is_known(std::string_view element, CipherUse use) {
  const bool takes_out = element.starts_with('!') || element.starts_with('-');
  if (takes_out || element.starts_with('+')) element.remove_prefix(1);
  if (is_suite(element, use) || (takes_out && is_in(kTakenOut, element))) return true;
  while (true) {
    const std::size_t plus = std::min(element.find('+'), element.size());
    const std::string_view word = element.substr(0, plus);
    if (!is_word(word, use) && !(takes_out && is_in(kTakenOut, word))) return false;
    if (plus == element.size()) return true;
    element.remove_prefix(plus + 1);
  }
}

std::optional<std::string_view> find_not_in(std::span<const std::string_view> names,
                                            std::string_view list) {
  while (true) {
    const std::size_t colon = std::min(list.find(':'), list.size());
    const std::string_view name = list.substr(0, colon);
    if (!is_in(names, name)) return name;
    if (colon == list.size()) return std::nullopt;
    list.remove_prefix(colon + 1);
  }
}

}  // namespace

std::optional<std::string_view> find_unknown_cipher(std::string_view list, CipherUse use) {
  while (!list.empty()) {
    const std::size_t colon = std::min(list.find(':'), list.size());
    const std::string_view element = list.substr(0, colon);
    if (!element.empty() && !is_known(element, use)) return element;
    list.remove_prefix(std::min(colon + 1, list.size()));
  }
  return std::nullopt;
}

std::optional<std::string_view> find_unknown_suite(std::string_view list) {
  return find_not_in(kTls13Suites, list);
}

std::optional<std::string> find_group_fault(std::string_view list) {
  if (const auto unknown = find_not_in(kGroups, list)) {
    return quoted(*unknown) + " is no group for the key exchange that is known.";
  }
  std::vector<std::string_view> seen;
  while (true) {
    const std::size_t colon = std::min(list.find(':'), list.size());
    const std::string_view name = list.substr(0, colon);
    const auto same = std::ranges::find(seen, group_of(name), group_of);
    if (same != seen.end()) {
      return *same == name ? quoted(name) + " stands twice."
                           : quoted(name) + " and " + quoted(*same) + " are the same group.";
    }
    seen.push_back(name);
    if (colon == list.size()) return std::nullopt;
    list.remove_prefix(colon + 1);
  }
}

}  // namespace handfast::translate
