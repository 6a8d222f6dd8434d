#include "proxy/net/cidr.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

namespace handfast::net {
namespace {

using Ip = std::array<std::uint64_t, 2>;

// ::ffff:0:0/96, where the IPv4 addresses are.
constexpr Ip kFirstMapped{0, 0xffff'0000'0000};
constexpr Ip kLastMapped{0, 0xffff'ffff'ffff};

std::optional<Ip> try_ip(const Address& address) {
  if (address.family() == AF_INET) {
    const auto& v4 = *reinterpret_cast<const sockaddr_in*>(address.data());
    return Ip{0, kFirstMapped[1] | ntohl(v4.sin_addr.s_addr)};
  }
  if (address.family() != AF_INET6) return {};
  const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(address.data());
  Ip ip{};
  for (std::size_t i = 0; i < 16; ++i) ip[i / 8] = ip[i / 8] << 8U | v6.sin6_addr.s6_addr[i];
  return ip;
}

std::string text_of(const Ip& ip) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  for (std::size_t i = 0; i < 16; ++i) {
    v6.sin6_addr.s6_addr[i] = static_cast<std::uint8_t>(ip[i / 8] >> (56 - 8 * (i % 8)));
  }
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof v6).ip();
}

// The bits behind the first `prefix` of 128.
Ip bits_behind(unsigned prefix) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  if (prefix < 64) return {kAll >> prefix, kAll};
  return {0, prefix == 128 ? 0 : kAll >> (prefix - 64)};
}

std::optional<unsigned> try_prefix(std::string_view digits, unsigned most) {
  if (digits.empty() || (digits.front() == '0' && digits.size() > 1)) return {};
  unsigned value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end || value > most) return {};
  return value;
}

}  // namespace

Result<NetworkSet> NetworkSet::parse(const std::vector<std::string>& networks) {
  NetworkSet set;
  for (const std::string& network : networks) {
    if (const Status added = set.add(network); !added) return fail(added.error());
  }
  set.sort_and_join();
  return set;
}

Status NetworkSet::add(std::string_view network) {
  const std::string quoted = "'" + std::string(network) + "'";
  const std::size_t slash = network.find('/');
  const auto address = Address::from_ip(network.substr(0, slash), 0);
  if (!address) {
    return fail(Reason::InvalidValue, quoted + " is not a network like 192.0.2.0/24");
  }
  const unsigned width = address->family() == AF_INET ? 32 : 128;
  unsigned prefix = width;
  if (slash != std::string_view::npos) {
    const auto told = try_prefix(network.substr(slash + 1), width);
    if (!told) {
      return fail(Reason::InvalidValue, quoted + " needs the length of its prefix, 0 to " +
                                            std::to_string(width) + ", after the '/'");
    }
    prefix = *told;
  }
  const Ip ip = *try_ip(*address);
  const unsigned bits = 128 - width + prefix;
  const Ip behind = bits_behind(bits);
  const Ip first{ip[0] & ~behind[0], ip[1] & ~behind[1]};
  const Ip last{ip[0] | behind[0], ip[1] | behind[1]};
  if (first != ip) {
    const bool mapped = first >= kFirstMapped && last <= kLastMapped;
    return fail(Reason::InvalidValue, quoted + " has bits set behind its prefix: the network is " +
                                          text_of(first) + "/" +
                                          std::to_string(mapped ? bits - 96 : bits) +
                                          ", the address alone " + text_of(ip));
  }
  if (first < kFirstMapped && last >= kLastMapped) {  // IPv6 networks hold no IPv4 address
    ranges_.push_back({first, {0, kFirstMapped[1] - 1}});
    if (last > kLastMapped) ranges_.push_back({{0, kLastMapped[1] + 1}, last});
  } else {
    ranges_.push_back({first, last});
  }
  return {};
}

void NetworkSet::sort_and_join() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> joined;
  for (const Range& range : ranges_) {
    if (!joined.empty() && range.first <= joined.back().last) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  ranges_ = std::move(joined);
}

bool NetworkSet::contains(const Address& address) const {
  const std::optional<Ip> ip = try_ip(address);
  if (!ip) return false;
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), *ip,
                       [](const Ip& value, const Range& range) { return value < range.first; });
  return after != ranges_.begin() && *ip <= std::prev(after)->last;
}

}  // namespace handfast::net
