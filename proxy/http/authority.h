#pragma once
// What may stand in a Host field or before the path of an absolute-form target (RFC 3986 3.2.2).

#include <optional>
#include <string_view>

namespace handfast::http {

struct Authority {
  std::string_view host;  // IPv6 with its brackets
  std::string_view port;  // decimal, 1-65535; empty if none
  std::string_view text;  // both, without the ':' of an empty port
};

// Stricter than RFC 3986 where readers differ and no real client goes: a name holds letters, digits
// and "-._~" only (no percent escapes, no "!$&'()*+,;="), no empty labels but a trailing dot, at
// most 255 bytes; a bracketed host is an IPv6 address without a zone; a port has no leading zeros;
// there is no user information. "name:" is "name" (RFC 3986 6.2.3), and goes on as that, so that
// nobody behind us has to know the rule. Nothing for all else, the empty text too.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text);

}  // namespace handfast::http
