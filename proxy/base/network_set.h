#pragma once
// A set of IPv4 and IPv6 networks: whom we believe, and whom a route lets in or keeps out.
//
// An IPv4-mapped IPv6 address or network (::ffff:192.0.2.0/120) is the IPv4 one, wherever it comes
// from; ::/0 holds no IPv4 address. Held as sorted ranges that don't overlap: contains()
// is a binary search, however long the list of a CDN is.
//
// A value; immutable once built. Threading: any.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast {

// Of an address, in the order of the network; IPv4 as it is mapped into IPv6.
using IpBytes = std::array<std::uint8_t, 16>;

// Text without brackets, zone and port.
[[nodiscard]] std::optional<IpBytes> parse_ip(std::string_view text);

// A network as text, without the bits behind its prefix: "10.0.0.0/8" of "10.0.0.1/8".
[[nodiscard]] Result<std::string> clear_host_bits(std::string_view network);

class NetworkSet {
 public:
  // "192.0.2.0/24", "2001:db8::/32"; a bare address is a network of one. A network with bits set
  // behind its prefix is refused: it's not known which of the two was meant.
  static Result<NetworkSet> parse(const std::vector<std::string>& networks);

  // What isn't an address of the internet is in no network.
  [[nodiscard]] bool contains(const std::optional<IpBytes>& ip) const;
  [[nodiscard]] bool empty() const noexcept { return ranges_.empty(); }

 private:
  using Ip = std::array<std::uint64_t, 2>;  // high and low half
  struct Range {
    Ip first;
    Ip last;
  };

  Status add(std::string_view network);
  void sort_and_join();

  std::vector<Range> ranges_;
};

}  // namespace handfast
