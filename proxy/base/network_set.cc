#include "proxy/base/network_set.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

namespace handfast {
namespace {

using Ip = std::array<std::uint64_t, 2>;

// ::ffff:0:0/96, where the IPv4 addresses are.
constexpr Ip kFirstMapped{0, 0xffff'0000'0000};
constexpr Ip kLastMapped{0, 0xffff'ffff'ffff};

Ip halves_of(const IpBytes& bytes) {
  Ip ip{};
  for (std::size_t i = 0; i < bytes.size(); ++i) ip[i / 8] = ip[i / 8] << 8U | bytes[i];
  return ip;
}

std::string text_of(const Ip& ip) {
  IpBytes bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(ip[i / 8] >> (56 - 8 * (i % 8)));
  }
  const bool v4 = ip >= kFirstMapped && ip <= kLastMapped;
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? 12 : 0), text.data(), text.size());
  return text.data();
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

struct Network {
  Ip written;  // first, unless bits behind the prefix are set
  Ip first;
  Ip last;
  unsigned prefix;  // of 128

  [[nodiscard]] std::string text() const {
    const bool v4 = first >= kFirstMapped && last <= kLastMapped;
    return text_of(first) + "/" + std::to_string(v4 ? prefix - 96 : prefix);
  }
};

std::string in_quotes(std::string_view network) { return "'" + std::string(network) + "'"; }

Result<Network> read_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  const auto bytes = parse_ip(address);
  if (!bytes) {
    return fail(Reason::InvalidValue, in_quotes(text) + " is not a network like 192.0.2.0/24");
  }
  const unsigned width = address.find(':') == std::string_view::npos ? 32 : 128;
  unsigned prefix = width;
  if (slash != std::string_view::npos) {
    const auto told = try_prefix(text.substr(slash + 1), width);
    if (!told) {
      return fail(Reason::InvalidValue, in_quotes(text) + " needs the length of its prefix, 0 to " +
                                            std::to_string(width) + ", after the '/'");
    }
    prefix = *told;
  }
  const Ip ip = halves_of(*bytes);
  const Ip behind = bits_behind(128 - width + prefix);
  return Network{.written = ip,
                 .first = {ip[0] & ~behind[0], ip[1] & ~behind[1]},
                 .last = {ip[0] | behind[0], ip[1] | behind[1]},
                 .prefix = 128 - width + prefix};
}

}  // namespace

std::optional<IpBytes> parse_ip(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) return {};
  std::ranges::copy(text, terminated.begin());
  IpBytes bytes{};
  if (::inet_pton(AF_INET6, terminated.data(), bytes.data()) == 1) return bytes;
  bytes = {};
  bytes[10] = bytes[11] = 0xff;
  if (::inet_pton(AF_INET, terminated.data(), bytes.data() + 12) == 1) return bytes;
  return {};
}

Result<std::string> clear_host_bits(std::string_view network) {
  const auto read = read_network(network);
  if (!read) return fail(read.error());
  return read->text();
}

Result<NetworkSet> NetworkSet::parse(const std::vector<std::string>& networks) {
  NetworkSet set;
  for (const std::string& network : networks) {
    if (const Status added = set.add(network); !added) return fail(added.error());
  }
  set.sort_and_join();
  return set;
}

Status NetworkSet::add(std::string_view network) {
  const auto read = read_network(network);
  if (!read) return fail(read.error());
  const auto& [written, first, last, prefix] = *read;
  if (first != written) {
    return fail(Reason::InvalidValue, in_quotes(network) +
                                          " has bits set behind its prefix: the network is " +
                                          read->text() + ", the address alone " + text_of(written));
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

bool NetworkSet::contains(const std::optional<IpBytes>& ip) const {
  if (!ip) return false;
  const Ip halves = halves_of(*ip);
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), halves,
                       [](const Ip& value, const Range& range) { return value < range.first; });
  return after != ranges_.begin() && halves <= std::prev(after)->last;
}

}  // namespace handfast
