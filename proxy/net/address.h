#pragma once
// An IPv4 or IPv6 address with a port. A value.

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/result.h"

namespace handfast::net {

class Address {
 public:
  Address() = default;

  // "192.0.2.7:8443", "[2001:db8::1]:8443".
  static Result<Address> parse(std::string_view text);
  // An IP in text, no brackets, and a port.
  static Result<Address> from_ip(std::string_view ip, std::uint16_t port);
  static Address from_sockaddr(const sockaddr* address, socklen_t length);

  [[nodiscard]] const sockaddr* data() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  [[nodiscard]] socklen_t length() const noexcept { return length_; }
  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
  [[nodiscard]] std::uint16_t port() const noexcept;

  [[nodiscard]] std::string ip() const;         // "2001:db8::1"; IPv4-mapped as IPv4
  [[nodiscard]] std::string to_string() const;  // "[2001:db8::1]:8443"

  // Loopback, link-local, unspecified or multicast: what a name from outside must not resolve to.
  [[nodiscard]] bool is_local_only() const;

  friend bool operator==(const Address& a, const Address& b);

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace handfast::net
