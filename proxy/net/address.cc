#include "proxy/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstring>

namespace handfast::net {

Result<Address> Address::from_ip(std::string_view ip, std::uint16_t port) {
  const std::string text(ip);
  Address address;
  // Text behind a NUL would be cut off below.
  if (ip.find('\0') != std::string_view::npos) {
    return fail(Reason::InvalidValue, "an IP address holds a NUL byte");
  }
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage_);
      ::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length_ = sizeof(sockaddr_in);
    return address;
  }
  if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage_);
      ::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
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
  result.length_ = length > sizeof result.storage_ ? socklen_t{sizeof result.storage_} : length;
  std::memcpy(&result.storage_, address, result.length_);
  return result;
}

std::uint16_t Address::port() const noexcept {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  }
  return 0;
}

std::string Address::ip() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, text.data(),
                text.size());
  } else if (family() == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      ::inet_ntop(AF_INET, &address.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &address, text.data(), text.size());
    }
  } else {
    return "local";
  }
  return text.data();
}

std::string Address::to_string() const {
  const std::string host = ip();
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port());
}

bool Address::is_local_only() const {
  const auto v4_local = [](std::uint32_t ip) {
    return (ip >> 24) == 127 || ip >> 16 == 0xa9fe || (ip >> 24) == 0 || (ip >> 28) >= 0xe;
  };
  if (family() == AF_INET) {
    return v4_local(ntohl(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr.s_addr));
  }
  if (family() != AF_INET6) return true;
  const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&ip)) {
    std::uint32_t v4 = 0;
    std::memcpy(&v4, &ip.s6_addr[12], sizeof v4);
    return v4_local(ntohl(v4));
  }
  return IN6_IS_ADDR_LOOPBACK(&ip) || IN6_IS_ADDR_LINKLOCAL(&ip) || IN6_IS_ADDR_UNSPECIFIED(&ip) ||
         IN6_IS_ADDR_MULTICAST(&ip);
}

bool operator==(const Address& a, const Address& b) {
  if (a.family() != b.family() || a.port() != b.port()) return false;
  if (a.family() == AF_INET) {
    return reinterpret_cast<const sockaddr_in*>(&a.storage_)->sin_addr.s_addr ==
           reinterpret_cast<const sockaddr_in*>(&b.storage_)->sin_addr.s_addr;
  }
  // The scope of a link-local address isn't told apart, as in its text.
  return a.family() != AF_INET6 ||
         std::memcmp(&reinterpret_cast<const sockaddr_in6*>(&a.storage_)->sin6_addr,
                     &reinterpret_cast<const sockaddr_in6*>(&b.storage_)->sin6_addr,
                     sizeof(in6_addr)) == 0;
}

}  // namespace handfast::net
