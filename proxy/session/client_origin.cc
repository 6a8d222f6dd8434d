#include "proxy/session/client_origin.h"

#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <system_error>

#include "proxy/http/authority.h"
#include "proxy/http/chars.h"

namespace handfast::session {
namespace {

// More hops than this aren't looked at: the walk costs something for each.
constexpr int kMaxHops = 100;
// "[", an IPv6 address that maps an IPv4 one, "]:65535".
constexpr std::size_t kLongestHop = 45 + 8;

constexpr std::string_view kForwardedFor = "x-forwarded-for";

bool is_field(const http::Header& field, std::string_view name) {
  return field.id == http::HeaderId::Protected && http::equal_ignore_case(field.name, name);
}

// Takes the last element off a list; it may be empty.
std::string_view take_last_element(std::string_view& list) {
  const std::size_t comma = list.rfind(',');
  const std::string_view element = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
  return http::trim_blanks(element);
}

// "192.0.2.7", "192.0.2.7:1234", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:1234".
std::optional<net::Address> try_hop(std::string_view text) {
  if (text.size() > kLongestHop) return {};
  const bool bracketed = text.starts_with('[');
  const std::size_t colon = text.rfind(':');
  const bool has_port =
      bracketed ? !text.ends_with(']') : colon != text.npos && text.find(':') == colon;
  if (bracketed && !has_port) text = text.substr(1, text.size() - 2);
  const auto address = has_port ? net::Address::parse(text) : net::Address::from_ip(text, 0);
  if (!address || (bracketed && address->family() != AF_INET6)) return {};
  return *address;
}

// The first hop from the right, beginning with the peer, that is not in the trusted networks.
net::Address find_client(std::span<const http::Header> fields, const net::Address& peer,
                         const NetworkSet& trusted) {
  net::Address client = peer;
  int hops = 0;
  for (std::size_t i = fields.size(); i-- > 0;) {
    if (!is_field(fields[i], kForwardedFor)) continue;
    std::string_view list = fields[i].value;
    while (!list.empty()) {
      const std::string_view element = take_last_element(list);
      if (element.empty()) continue;
      if (++hops > kMaxHops || !trusted.contains(client.ip_bytes())) return client;
      const auto hop = try_hop(element);
      if (!hop) return client;
      client = *hop;
    }
  }
  return client;
}

std::string_view last_value(std::span<const http::Header> fields, std::string_view name) {
  for (std::size_t i = fields.size(); i-- > 0;) {
    if (!is_field(fields[i], name)) continue;
    std::string_view list = fields[i].value;
    return take_last_element(list);
  }
  return {};
}

// Proxies that pass WebSockets call the scheme by theirs.
std::string_view scheme_of(std::string_view told) {
  if (http::equal_ignore_case(told, "https") || http::equal_ignore_case(told, "wss")) {
    return "https";
  }
  if (http::equal_ignore_case(told, "http") || http::equal_ignore_case(told, "ws")) return "http";
  return {};
}

std::uint16_t port_of(std::string_view told) {
  std::uint16_t port = 0;
  const char* const end = told.data() + told.size();
  const auto [stop, error] = std::from_chars(told.data(), end, port);
  return error == std::errc() && stop == end ? port : std::uint16_t{0};
}

}  // namespace

void read_client_origin(const http::HeaderList& headers, const net::Address& peer,
                        const ClientTrust& trust, ClientOrigin& origin) {
  const std::span<const http::Header> fields = headers.items();
  origin.address = find_client(fields, peer, trust.forwarded).ip();
  origin.original_for.clear();
  for (const http::Header& field : fields) {
    if (!is_field(field, kForwardedFor) || field.value.empty()) continue;
    if (!origin.original_for.empty()) origin.original_for.append(", ");
    origin.original_for.append(field.value);
  }
  origin.forwarded_for.clear();
  if (!trust.full_forwarded_for) {
    origin.forwarded_for.append(origin.address);
  } else {
    if (!origin.original_for.empty()) origin.forwarded_for.append(origin.original_for).append(", ");
    origin.forwarded_for.append(peer.ip());
  }
  origin.scheme = scheme_of(last_value(fields, "x-forwarded-proto"));
  origin.port = port_of(last_value(fields, "x-forwarded-port"));
  origin.original_host = last_value(fields, "x-forwarded-host");
  const auto authority = http::parse_authority(origin.original_host);
  origin.host = authority ? authority->text : std::string_view();
}

}  // namespace handfast::session
