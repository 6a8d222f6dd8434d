#include "controller/translate/names.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "controller/objects/names.h"

namespace handfast::translate {
namespace {

constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxName = 253;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

template <class IsLabel>
bool all_labels(std::string_view text, IsLabel is_label) {
  if (text.empty() || text.size() > kMaxName) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_certificate_label(std::string_view label) {
  if (label.empty() || label.size() > kMaxLabel) return false;
  if (label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return is_lower_alnum(lower(c)) || c == '-' || c == '_'; });
}

in_addr to_v4(const std::string& text) {
  in_addr address{};
  static_cast<void>(::inet_pton(AF_INET, text.c_str(), &address));
  return address;
}

in6_addr to_v6(const std::string& text) {
  in6_addr address{};
  static_cast<void>(::inet_pton(AF_INET6, text.c_str(), &address));
  return address;
}

}  // namespace

bool is_dns_name(std::string_view text) { return all_labels(text, is_certificate_label); }

bool is_ip_address(std::string_view text) {
  return objects::is_ipv4(text) || objects::is_ipv6(text);
}

bool is_this_machine(std::string_view host) {
  const std::string name = to_lower(host);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  if (objects::is_ipv4(name)) {
    const in_addr v4 = to_v4(name);
    return (ntohl(v4.s_addr) >> 24U) == 127 || v4.s_addr == INADDR_ANY;
  }
  if (!objects::is_ipv6(name)) return false;
  const in6_addr v6 = to_v6(name);
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return v6.s6_addr[12] == 127 || v6.s6_addr[12] == 0;
  return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool ends_in_number(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) return true;
  return !last.empty() &&
         std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_host(std::string_view text) {
  if (objects::is_wildcard_subdomain(text)) return true;
  return objects::is_dns_subdomain(text) && !is_ip_address(text);
}

std::string to_lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace handfast::translate
