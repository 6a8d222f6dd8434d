#include "proxy/http/authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstddef>

#include "proxy/http/chars.h"

namespace handfast::http {
namespace {

constexpr std::size_t kMaxName = 255;

// Length of the leading host name; 0 if it is none.
std::size_t name_length(std::string_view text) {
  char previous = '.';
  std::size_t n = 0;
  for (; n < text.size() && has_class(text[n], kHostChar); ++n) {
    if (text[n] == '.' && previous == '.') return 0;
    previous = text[n];
  }
  return n <= kMaxName ? n : 0;
}

// Length of the leading "[...]"; 0 if that isn't an IPv6 address.
std::size_t literal_length(std::string_view text) {
  const std::size_t close = text.find(']');
  std::array<char, INET6_ADDRSTRLEN> address{};
  if (close == std::string_view::npos || close < 2 || close > address.size()) return 0;
  const std::string_view inside = text.substr(1, close - 1);
  for (const char c : inside) {
    if (hex_value(c) == kNotHex && c != ':' && c != '.') return 0;
  }
  inside.copy(address.data(), address.size() - 1);
  in6_addr parsed{};
  return inet_pton(AF_INET6, address.data(), &parsed) == 1 ? close + 1 : 0;
}

bool is_port(std::string_view text) {
  if (text.size() > 5 || text.front() == '0') return false;
  unsigned value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65535;
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::size_t n = text.front() == '[' ? literal_length(text) : name_length(text);
  if (n == 0) return std::nullopt;
  const std::string_view host = text.substr(0, n);
  if (n == text.size()) return Authority{host, {}, host};
  if (text[n] != ':') return std::nullopt;
  const std::string_view port = text.substr(n + 1);
  if (port.empty()) return Authority{host, {}, host};
  if (!is_port(port)) return std::nullopt;
  return Authority{host, port, text};
}

}  // namespace handfast::http
