#include "proxy/net/proxy_protocol.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <system_error>

namespace handfast::net {
namespace {

constexpr std::string_view kPrefix1 = "PROXY ";
constexpr std::string_view kSignature2{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t kMaxHeader1 = 107;
constexpr std::size_t kFixedPart2 = 16;

constexpr std::uint8_t kTypeCrc32c = 0x03;

ProxyHeader bad(std::string_view problem) {
  return {ProxyHeader::State::Bad, 0, std::nullopt, problem};
}

ProxyHeader complete(std::size_t consumed, std::optional<ProxyEndpoints> endpoints = {}) {
  return {ProxyHeader::State::Complete, consumed, endpoints, {}};
}

bool begins_like(std::string_view bytes, std::string_view literal) {
  const std::size_t common = std::min(bytes.size(), literal.size());
  return bytes.substr(0, common) == literal.substr(0, common);
}

// ---- version 1 ----

std::optional<std::uint16_t> try_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.front() == '0' && text.size() > 1)) return {};
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end) return {};
  return port;
}

// inet_pton, behind from_ip, takes neither leading zeros in IPv4 nor zones in IPv6.
std::optional<Address> try_address(std::string_view ip, std::string_view port, int family) {
  const std::optional<std::uint16_t> number = try_port(port);
  if (!number) return {};
  const auto address = Address::from_ip(ip, *number);
  if (!address || address->family() != family) return {};
  return *address;
}

// `line`: what stands between "PROXY " and the CRLF.
ProxyHeader read_line(std::string_view line, std::size_t consumed) {
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return complete(consumed);
  const bool v4 = line.starts_with("TCP4 ");
  if (!v4 && !line.starts_with("TCP6 ")) return bad("the protocol is not TCP4, TCP6 or UNKNOWN");
  std::array<std::string_view, 4> words;
  std::string_view rest = line.substr(5);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t blank = rest.find(' ');
    const bool last = i + 1 == words.size();
    if ((blank == std::string_view::npos) != last) {
      return bad("there are not two addresses and two ports with single blanks between");
    }
    words[i] = rest.substr(0, blank);
    if (!last) rest.remove_prefix(blank + 1);
  }
  const int family = v4 ? AF_INET : AF_INET6;
  const auto source = try_address(words[0], words[2], family);
  const auto destination = try_address(words[1], words[3], family);
  if (!source || !destination) return bad("an address or a port is not one");
  return complete(consumed, ProxyEndpoints{*source, *destination});
}

ProxyHeader read_version_1(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, kMaxHeader1);
  const std::size_t end = head.find_first_of("\r\n");
  if (end == std::string_view::npos) {
    if (head.size() < kMaxHeader1) return {};
    return bad("the line is longer than 107 bytes");
  }
  if (head[end] == '\n') return bad("the line does not end in CR LF");
  if (end + 1 == kMaxHeader1) return bad("the line is longer than 107 bytes");
  if (end + 1 == head.size()) return {};
  if (head[end + 1] != '\n') return bad("the line does not end in CR LF");
  return read_line(head.substr(kPrefix1.size(), end - kPrefix1.size()), end + 2);
}

// ---- version 2 ----

std::uint8_t byte_at(std::string_view bytes, std::size_t place) {
  return static_cast<std::uint8_t>(bytes[place]);
}

std::size_t number_at(std::string_view bytes, std::size_t place) {
  return static_cast<std::size_t>(byte_at(bytes, place)) << 8U | byte_at(bytes, place + 1);
}

constexpr std::array<std::uint32_t, 256> make_crc32c_table() {
  constexpr std::uint32_t kPolynomial = 0x82f63b78;  // Castagnoli's, reflected (RFC 4960 B)
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0U);
    }
    table[i] = value;
  }
  return table;
}
constexpr auto kCrc32cTable = make_crc32c_table();

// Of the whole header, with the four bytes at `field` taken as zero.
std::uint32_t crc32c(std::string_view header, std::size_t field) {
  std::uint32_t crc = ~0U;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const std::uint8_t byte = i >= field && i < field + 4 ? 0 : byte_at(header, i);
    crc = (crc >> 8U) ^ kCrc32cTable[(crc ^ byte) & 0xffU];
  }
  return ~crc;
}

// Empty: nothing to say against the TLVs from `place` to the end of the header.
std::string_view problem_of_tlvs(std::string_view header, std::size_t place) {
  bool summed = false;
  while (place < header.size()) {
    if (header.size() - place < 3) return "a TLV is cut off";
    const std::uint8_t type = byte_at(header, place);
    const std::size_t length = number_at(header, place + 1);
    place += 3;
    if (length > header.size() - place) return "a TLV is longer than its header";
    if (type == kTypeCrc32c) {
      if (length != 4 || summed) return "the CRC32c is not four bytes, once";
      summed = true;
      const auto told = static_cast<std::uint32_t>(number_at(header, place) << 16U |
                                                   number_at(header, place + 2));
      if (told != crc32c(header, place)) return "the CRC32c is not that of the header";
    }
    place += length;
  }
  return {};
}

Address v4_address(std::string_view header, std::size_t ip, std::size_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  std::memcpy(&address.sin_addr, header.data() + ip, sizeof address.sin_addr);
  std::memcpy(&address.sin_port, header.data() + port, sizeof address.sin_port);
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

Address v6_address(std::string_view header, std::size_t ip, std::size_t port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  std::memcpy(&address.sin6_addr, header.data() + ip, sizeof address.sin6_addr);
  std::memcpy(&address.sin6_port, header.data() + port, sizeof address.sin6_port);
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// `header`: all of it, of a connection that is proxied.
ProxyHeader read_addresses(std::string_view header) {
  std::size_t addresses = 0;
  std::optional<ProxyEndpoints> endpoints;
  const auto has = [&header](std::size_t length) { return header.size() >= kFixedPart2 + length; };
  // A datagram family is of a client that came over QUIC, say.
  switch (byte_at(header, 13)) {
    case 0x00:  // UNSPEC: the length of its addresses is not specified either
      return complete(header.size());
    case 0x11:  // IPv4: source, destination, their ports
    case 0x12:
      addresses = 12;
      if (has(addresses)) endpoints = {v4_address(header, 16, 24), v4_address(header, 20, 26)};
      break;
    case 0x21:  // IPv6
    case 0x22:
      addresses = 36;
      if (has(addresses)) endpoints = {v6_address(header, 16, 48), v6_address(header, 32, 50)};
      break;
    case 0x31:  // AF_UNIX
    case 0x32:
      addresses = 216;
      break;
    default:
      return bad("the family and protocol are not known");
  }
  if (!has(addresses)) return bad("the addresses are longer than the header");
  const std::string_view problem = problem_of_tlvs(header, kFixedPart2 + addresses);
  if (!problem.empty()) return bad(problem);
  return complete(header.size(), endpoints);
}

ProxyHeader read_version_2(std::string_view bytes) {
  // What is wrong early is told early: nothing here waits for more than it needs.
  if (bytes.size() < 13) return {};
  const std::uint8_t version_and_command = byte_at(bytes, 12);
  if (version_and_command != 0x20 && version_and_command != 0x21) {
    return bad("the version or the command is not known");
  }
  if (bytes.size() < kFixedPart2) return {};
  const std::size_t length = kFixedPart2 + number_at(bytes, 14);
  if (length > kMaxProxyHeader) return bad("the header is longer than 4096 bytes");
  if (bytes.size() < length) return {};
  // LOCAL: the family and the rest must be ignored.
  if (version_and_command == 0x20) return complete(length);
  return read_addresses(bytes.substr(0, length));
}

}  // namespace

ProxyHeader read_proxy_header(std::string_view bytes) {
  if (bytes.empty()) return {};
  if (begins_like(bytes, kPrefix1)) {
    return bytes.size() < kPrefix1.size() ? ProxyHeader{} : read_version_1(bytes);
  }
  if (begins_like(bytes, kSignature2)) {
    return bytes.size() < kSignature2.size() ? ProxyHeader{} : read_version_2(bytes);
  }
  return bad("the connection does not begin with a PROXY header");
}

std::string write_proxy_header(const ProxyEndpoints& endpoints) {
  const std::string source = endpoints.source.ip();
  const std::string destination = endpoints.destination.ip();
  // As they are written: an IPv4-mapped address is IPv4.
  const auto is_v6 = [](const std::string& ip) { return ip.find(':') != std::string::npos; };
  const bool known = endpoints.source.length() > 0 && endpoints.destination.length() > 0;
  if (!known || is_v6(source) != is_v6(destination)) {
    return "PROXY UNKNOWN\r\n";
  }
  std::string header = is_v6(source) ? "PROXY TCP6 " : "PROXY TCP4 ";
  header.append(source).append(" ").append(destination);
  header.append(" ").append(std::to_string(endpoints.source.port()));
  header.append(" ").append(std::to_string(endpoints.destination.port())).append("\r\n");
  return header;
}

std::optional<bool> is_proxy_header(std::string_view bytes) {
  // A method may be called PROXY, but no target begins like a protocol of version 1.
  static constexpr std::array<std::string_view, 4> kBeginnings{kSignature2, "PROXY TCP4 ",
                                                               "PROXY TCP6 ", "PROXY UNKNOWN"};
  bool open = false;
  for (const std::string_view beginning : kBeginnings) {
    if (!begins_like(bytes, beginning)) continue;
    if (bytes.size() >= beginning.size()) return true;
    open = true;
  }
  return open ? std::nullopt : std::optional(false);
}

}  // namespace handfast::net
