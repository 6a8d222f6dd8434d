#pragma once
// The PROXY protocol, versions 1 and 2, as a load balancer in front of us speaks it: who its client
// is, in a header before the first byte of the connection (HAProxy's doc/proxy-protocol.txt).
//
// A pure function of the bytes that have come so far. It decides as soon as it can, and what it
// says of some bytes it says of every continuation of them, but for Incomplete. Strict: a header
// that two readers could read differently is Bad.
//
// Version 1: exactly the grammar of the specification, at most 107 bytes; no leading zeros.
// Version 2: the known commands, families and protocols only, at most kMaxProxyHeader bytes, the
// address block as long as its family says, the TLVs well formed, a CRC32c right if there is one.
// UNKNOWN, UNSPEC and LOCAL (a health check of the load balancer itself) tell no address: the
// connection's own is the client's, and what else such a header holds is skipped, as it asks for.
// So is the path of AF_UNIX.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/net/address.h"

namespace handfast::net {

// Of a version 2 header with its TLVs; the largest in the wild are some hundred bytes.
inline constexpr std::size_t kMaxProxyHeader = 4096;

struct ProxyEndpoints {
  Address source;
  Address destination;
};

struct ProxyHeader {
  enum class State : std::uint8_t { Incomplete, Complete, Bad };

  State state = State::Incomplete;
  std::size_t consumed = 0;                 // Complete: the bytes of the header
  std::optional<ProxyEndpoints> endpoints;  // Complete: none if the header tells none
  std::string_view problem;                 // Bad: what is wrong, a constant
};

[[nodiscard]] ProxyHeader read_proxy_header(std::string_view bytes);

// A header of version 1, as we tell a backend; UNKNOWN if the two aren't of one family.
[[nodiscard]] std::string write_proxy_header(const ProxyEndpoints& endpoints);

// Whether these first bytes of a connection can only be such a header: no HTTP/1 request, HTTP/2
// preface or TLS record begins like it. Nothing: they are too few to say.
[[nodiscard]] std::optional<bool> is_proxy_header(std::string_view bytes);

}  // namespace handfast::net
