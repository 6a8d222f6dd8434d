#include "controller/objects/names.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "proxy/base/network_set.h"

namespace handfast::objects {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower_or_digit(char c) { return is_lower(c) || is_digit(c); }
bool is_alphanumeric(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

// A label without the limit on its length: in a subdomain only the whole is limited.
bool has_label_form(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

}  // namespace

bool is_dns_label(std::string_view text) { return text.size() <= 63 && has_label_form(text); }

bool is_dns_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  std::size_t begin = 0;
  for (std::size_t dot = text.find('.'); dot != std::string_view::npos;
       dot = text.find('.', begin)) {
    if (!has_label_form(text.substr(begin, dot - begin))) return false;
    begin = dot + 1;
  }
  return has_label_form(text.substr(begin));
}

bool is_wildcard_subdomain(std::string_view text) {
  return text.size() <= 253 && text.starts_with("*.") && is_dns_subdomain(text.substr(2));
}

bool is_port_name(std::string_view text) {
  return text.size() <= 15 && has_label_form(text) && text.find("--") == std::string_view::npos &&
         std::ranges::any_of(text, is_lower);
}

bool is_qualified_name(std::string_view text) {
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    // Kubernetes compares prefixes of annotations without regard to case.
    std::string prefix(text.substr(0, slash));
    std::ranges::transform(prefix, prefix.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (!is_dns_subdomain(prefix)) return false;
    text.remove_prefix(slash + 1);
  }
  return !text.empty() && text.size() <= 63 && is_alphanumeric(text.front()) &&
         is_alphanumeric(text.back()) && std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_trust_bundle_name(std::string_view text) {
  if (text.size() > 253) return false;
  while (true) {
    const std::size_t colon = text.find(':');
    if (!is_dns_subdomain(text.substr(0, colon))) return false;
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
  }
}

bool is_data_key(std::string_view text) {
  return !text.empty() && text.size() <= 253 && text != "." && !text.starts_with("..") &&
         std::ranges::all_of(
             text, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_ipv4(std::string_view text) {
  return text.find(':') == std::string_view::npos && parse_ip(text);
}
bool is_ipv6(std::string_view text) {
  return text.find(':') != std::string_view::npos && parse_ip(text);
}

}  // namespace handfast::objects
