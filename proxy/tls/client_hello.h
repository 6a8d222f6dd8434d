#pragma once
// Which host a TLS client asks for, read from its first bytes without taking part: the server_name
// of its ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3).
//
// A pure function of the bytes that have come so far: the message may lie in any number of records
// and pieces. What it says of some bytes it says of every continuation of them, but for Incomplete.
// It judges nothing else: Other is whatever isn't a ClientHello that can be read, which the TLS
// library refuses in its own words.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace handfast::tls {

// Of the bytes that are looked at. A ClientHello with post-quantum key shares has some 1.8 KiB.
inline constexpr std::size_t kMaxClientHello = 16 * 1024;

struct ClientHello {
  enum class State : std::uint8_t { Incomplete, Complete, Other };

  State state = State::Incomplete;
  std::string server_name;  // Complete: lower case; empty if it names none
};

// Incomplete is never the answer for kMaxClientHello bytes or more.
[[nodiscard]] ClientHello read_client_hello(std::string_view bytes);

}  // namespace handfast::tls
