#include "proxy/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace handfast::net {
namespace {

// The metadata services of clouds that aren't link-local (those are 169.254.169.254).
constexpr std::array<std::uint32_t, 3> kMetadataV4 = {
    0x646464c8,  // 100.100.100.200, Alibaba
    0xa83f8110,  // 168.63.129.16, Azure
    0xc00000c0,  // 192.0.0.192, Oracle
};
using MetadataV6 = std::array<std::uint8_t, 16>;
constexpr std::array<MetadataV6, 3> kMetadataV6 = {{
    {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54},        // AWS
    {0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54},        // Google
    {0xfd, 0x00, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe},  // Oracle
}};

}  // namespace

Result<Address> Address::from_ip(std::string_view ip, std::uint16_t port) {
  const std::string text(ip);
  Address address;
  // Text behind a NUL would be cut off below.
  if (ip.find('\0') != std::string_view::npos) {
    return fail(Reason::InvalidValue, "an IP address holds a NUL byte");
  }
  if (sockaddr_in& v4 = address.storage_.v4;
      ::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    address.length_ = sizeof(sockaddr_in);
    return address;
  }
  if (sockaddr_in6& v6 = address.storage_.v6;
      ::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    address.length_ = sizeof(sockaddr_in6);
    return address;
  }
  return fail(Reason::InvalidValue, "'" + text + "' is not an IP address");
}

Result<Address> Address::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return fail(Reason::InvalidValue, "'" + std::string(text) + "' is not ADDRESS:PORT");
  }
  std::string_view ip = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (ip.size() >= 2 && ip.front() == '[' && ip.back() == ']') {
    ip = ip.substr(1, ip.size() - 2);
  } else if (ip.find(':') != std::string_view::npos) {
    // "2001:db8::1:80" is an address of its own: which part is the port?
    return fail(Reason::InvalidValue, "'" + std::string(text) + "' needs brackets: [ADDRESS]:PORT");
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return fail(Reason::InvalidValue, "'" + std::string(digits) + "' is not a port (0-65535)");
  }
  return from_ip(ip, port);
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t length) {
  Address result;
  result.length_ = std::min(length, socklen_t{sizeof result.storage_});
  std::memcpy(&result.storage_, address, result.length_);
  return result;
}

std::optional<IpBytes> Address::ip_bytes() const {
  IpBytes bytes{};
  if (family() == AF_INET6) {
    std::memcpy(bytes.data(), &storage_.v6.sin6_addr, bytes.size());
    return bytes;
  }
  if (family() != AF_INET) return {};
  bytes[10] = bytes[11] = 0xff;
  std::memcpy(bytes.data() + 12, &storage_.v4.sin_addr, sizeof storage_.v4.sin_addr);
  return bytes;
}

std::uint16_t Address::port() const noexcept {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  return family() == AF_INET6 ? ntohs(storage_.v6.sin6_port) : std::uint16_t{0};
}

char* Address::write_ip(char* to) const {
  // inet_ntop() prints by format; an access log asks for each request.
  const auto write_v4 = [to](const void* bytes) {
    const auto* const parts = static_cast<const unsigned char*>(bytes);
    char* at = to;
    for (int i = 0; i < 4; ++i) {
      if (i > 0) *at++ = '.';
      at = std::to_chars(at, at + 3, static_cast<unsigned>(parts[i])).ptr;
    }
    return at;
  };
  if (family() == AF_INET) return write_v4(&storage_.v4.sin_addr);
  if (family() != AF_INET6) return std::ranges::copy(std::string_view("local"), to).out;
  const in6_addr& address = storage_.v6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return write_v4(&address.s6_addr[12]);
  ::inet_ntop(AF_INET6, &address, to, INET6_ADDRSTRLEN);
  return to + std::strlen(to);
}

std::string_view Address::write(std::span<char, kMaxText> space) const {
  static_assert(kMaxText >= INET6_ADDRSTRLEN + std::string_view("[]:65535").size());
  char* const begin = space.data();
  const bool brackets = family() == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&storage_.v6.sin6_addr);
  char* at = begin;
  if (brackets) *at++ = '[';
  at = write_ip(at);
  if (brackets) *at++ = ']';
  *at++ = ':';
  at = std::to_chars(at, begin + kMaxText, port()).ptr;
  return {begin, at};
}

std::string Address::ip() const {
  std::array<char, kMaxText> text;
  return {text.data(), write_ip(text.data())};
}

std::string Address::to_string() const {
  std::array<char, kMaxText> text;
  return std::string(write(text));
}

bool Address::is_local_only() const {
  const auto v4_local = [](std::uint32_t ip) {
    return (ip >> 24) == 127 || ip >> 16 == 0xa9fe || (ip >> 24) == 0 || (ip >> 28) >= 0xe ||
           std::ranges::find(kMetadataV4, ip) != kMetadataV4.end();
  };
  if (family() == AF_INET) {
    return v4_local(ntohl(storage_.v4.sin_addr.s_addr));
  }
  if (family() != AF_INET6) return true;
  const in6_addr& ip = storage_.v6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ip)) {
    std::uint32_t v4 = 0;
    std::memcpy(&v4, &ip.s6_addr[12], sizeof v4);
    return v4_local(ntohl(v4));
  }
  return IN6_IS_ADDR_LOOPBACK(&ip) || IN6_IS_ADDR_LINKLOCAL(&ip) || IN6_IS_ADDR_UNSPECIFIED(&ip) ||
         IN6_IS_ADDR_MULTICAST(&ip) ||
         std::ranges::any_of(kMetadataV6, [&ip](const MetadataV6& one) {
           return std::memcmp(one.data(), ip.s6_addr, one.size()) == 0;
         });
}

bool operator==(const Address& a, const Address& b) {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  if (a.family() == AF_INET) {
    return a.storage_.v4.sin_addr.s_addr == b.storage_.v4.sin_addr.s_addr;
  }
  // The scope of a link-local address isn't told apart, as in its text.
  return a.family() != AF_INET6 ||
         std::memcmp(&a.storage_.v6.sin6_addr, &b.storage_.v6.sin6_addr, sizeof(in6_addr)) == 0;
}

}  // namespace handfast::net
