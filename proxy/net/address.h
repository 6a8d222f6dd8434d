#pragma once
// An IPv4 or IPv6 address with a port. A value, small enough to be copied for each request.

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/network_set.h"
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

  [[nodiscard]] const sockaddr* data() const noexcept { return &storage_.any; }
  [[nodiscard]] socklen_t length() const noexcept { return length_; }
  [[nodiscard]] int family() const noexcept { return storage_.any.sa_family; }
  [[nodiscard]] std::uint16_t port() const noexcept;

  [[nodiscard]] std::optional<IpBytes> ip_bytes() const;  // none of other families
  [[nodiscard]] std::string ip() const;                   // "2001:db8::1"; IPv4-mapped as IPv4
  [[nodiscard]] std::string to_string() const;            // "[2001:db8::1]:8443"
  // The same without an allocation; a view into `space`.
  static constexpr std::size_t kMaxText = 64;
  std::string_view write(std::span<char, kMaxText> space) const;

  // Loopback, link-local, unspecified, multicast, or where a cloud tells a machine its secrets:
  // what a name from outside must not resolve to.
  [[nodiscard]] bool is_local_only() const;

  friend bool operator==(const Address& a, const Address& b);

 private:
  // The largest first, so that all of it begins as zeros. Of other families only the family is
  // kept.
  union Storage {
    sockaddr_in6 v6;
    sockaddr_in v4;
    sockaddr any;
  };

  char* write_ip(char* to) const;

  Storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace handfast::net
