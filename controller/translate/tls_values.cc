#include "controller/translate/tls_values.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "controller/translate/cipher_names.h"
#include "controller/translate/findings.h"
#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

constexpr std::size_t kMaxCipherList = 2048;

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_variable_char(char c) { return is_alnum(c) || c == '_'; }

// Calls `each` with the parts between separators, empty ones left out.
template <class Each>
void split(std::string_view text, std::string_view separators, Each each) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) each(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool is_broken_cipher(std::string_view word) {
  constexpr std::array<std::string_view, 20> kBroken{"aNULL",
                                                     "eNULL",
                                                     "NULL",
                                                     "ADH",
                                                     "AECDH",
                                                     "EXP",
                                                     "EXPORT",
                                                     "EXPORT40",
                                                     "EXPORT56",
                                                     "LOW",
                                                     "RC2",
                                                     "RC4",
                                                     "MD5",
                                                     "DES",
                                                     "3DES",
                                                     "CBC3",
                                                     "IDEA",
                                                     "COMPLEMENTOFALL",
                                                     "COMPLEMENTOFDEFAULT",
                                                     "SEED"};
  return std::find(kBroken.begin(), kBroken.end(), word) != kBroken.end();
}

std::string_view find_variable(std::string_view name, const NameVariables& variables) {
  if (name == "service_name") return variables.service_name;
  if (name == "namespace") return variables.ns;
  if (name == "service_port") return variables.service_port;
  return {};
}

// Takes the variable's name off the front of `rest`, which stands behind the '$'.
std::string_view take_variable(std::string_view& rest) {
  const bool braces = rest.starts_with('{');
  if (braces) rest.remove_prefix(1);
  const auto end = std::find_if_not(rest.begin(), rest.end(), is_variable_char);
  const std::string_view name = rest.substr(0, static_cast<std::size_t>(end - rest.begin()));
  rest.remove_prefix(name.size());
  if (!braces) return name;
  if (!rest.starts_with('}')) return {};
  rest.remove_prefix(1);
  return name;
}

}  // namespace

Result<bool> parse_on_off(std::string_view value) {
  if (value == "on") return true;
  if (value == "off") return false;
  return fail(Reason::InvalidValue, quoted(value) + " is neither \"on\" nor \"off\".");
}

Result<std::uint8_t> parse_depth(std::string_view value) {
  unsigned depth = 0;
  const char* end = value.data() + value.size();
  const auto [parsed, error] = std::from_chars(value.data(), end, depth);
  if (error != std::errc{} || parsed != end || depth < 1 || depth > 100) {
    return fail(Reason::InvalidValue, quoted(value) + " is not a number from 1 to 100.");
  }
  return static_cast<std::uint8_t>(depth);
}

Result<std::vector<config::TlsVersion>> parse_versions(std::string_view value) {
  bool tls12 = false;
  bool tls13 = false;
  std::string_view unknown;
  split(value, " \t\r\n", [&](std::string_view word) {
    if (word == "TLSv1.2") {
      tls12 = true;
    } else if (word == "TLSv1.3") {
      tls13 = true;
    } else if (unknown.empty()) {
      unknown = word;
    }
  });
  if (!unknown.empty() || (!tls12 && !tls13)) {
    return fail(Reason::InvalidValue, quoted(unknown) + " is neither \"TLSv1.2\" nor \"TLSv1.3\".");
  }
  std::vector<config::TlsVersion> versions;
  if (tls12) versions.push_back(config::TlsVersion::Tls12);
  if (tls13) versions.push_back(config::TlsVersion::Tls13);
  return versions;
}

Result<std::string> parse_ciphers(std::string_view value) {
  const bool allowed = std::all_of(value.begin(), value.end(), [](char c) {
    return is_alnum(c) || c == '+' || c == ':' || c == '_' || c == '-' || c == '!';
  });
  if (!allowed || value.size() > kMaxCipherList) {
    return fail(Reason::InvalidValue,
                quoted(value) + " holds more than letters, digits and + : _ - !, or is too long.");
  }
  std::string_view broken;
  bool adds = false;
  split(value, ":", [&](std::string_view element) {
    // '!' and '-' take out, '+' reorders what is there: none of them adds.
    if (element[0] == '!' || element[0] == '-' || element[0] == '+') return;
    adds = true;
    split(element, "+-_", [&](std::string_view word) {
      if (is_broken_cipher(word)) broken = element;
    });
  });
  if (!broken.empty()) {
    return fail(Reason::InvalidValue,
                quoted(broken) + " names ciphers that don't protect a connection.");
  }
  if (!adds) return fail(Reason::InvalidValue, quoted(value) + " names no cipher to use.");
  if (const auto unknown = find_unknown_cipher(value, CipherUse::Backends)) {
    return fail(Reason::InvalidValue, quoted(*unknown) + " is no cipher of TLS 1.2 that is known.");
  }
  return std::string{value};
}

Result<std::string> expand_name(std::string_view value, const NameVariables& variables) {
  std::string name;
  std::string_view rest = value;
  while (!rest.empty()) {
    const std::size_t dollar = std::min(rest.find('$'), rest.size());
    name.append(rest.substr(0, dollar));
    rest.remove_prefix(dollar);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    const std::string_view content = find_variable(take_variable(rest), variables);
    if (content.empty()) {
      return fail(Reason::InvalidValue,
                  quoted(value) +
                      " holds a variable that isn't one of $service_name, $namespace, "
                      "$service_port.");
    }
    name.append(content);
  }
  if (name.ends_with('.')) name.pop_back();
  // "127.1": what looks like an address, and isn't one, no certificate can prove.
  if (!is_ip_address(name) && (!is_dns_name(name) || ends_in_number(name))) {
    return fail(Reason::InvalidValue, quoted(value) + " is neither a DNS name nor an IP address.");
  }
  return to_lower(name);
}

}  // namespace handfast::translate
