#pragma once
// What may stand in a Host field or before the path of an absolute-form target (RFC 3986 3.2.2).

#include <optional>
#include <string_view>

namespace handfast::http {

struct Authority {
  std::string_view host;  // IPv6 with its brackets
  std::string_view port;  // decimal, 1-65535; empty if none
};

// Stricter than RFC 3986 where readers differ and no real client goes: a name holds letters, digits
// and "-._~" only (no percent escapes, no "!$&'()*+,;="), no empty labels but a trailing dot, at
// most 255 bytes; a bracketed host is an IPv6 address without a zone; a ':' is followed by a port
// without leading zeros; there is no user information. Nothing for all else, the empty text too.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text);

}  // namespace handfast::http
