#pragma once
// Bytes as text: two hex digits each, in lower case; or percent-encoded.

#include <string>
#include <string_view>

namespace handfast {

inline constexpr std::string_view kHexDigits = "0123456789abcdef";

inline void append_hex(std::string& out, unsigned char byte) {
  out += kHexDigits[byte >> 4U];
  out += kHexDigits[byte & 15U];
}

// RFC 3986 section 2.3: the unreserved characters as they are, all else as %XX.
[[nodiscard]] inline std::string percent_encode(std::string_view text) {
  static constexpr std::string_view kUpper = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    const bool is_unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
                               c == '~';
    if (is_unreserved) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kUpper[byte >> 4U];
    out += kUpper[byte & 15U];
  }
  return out;
}

}  // namespace handfast
