#pragma once
// Bytes as text: two hex digits each, in lower case.

#include <string>
#include <string_view>

namespace handfast {

inline constexpr std::string_view kHexDigits = "0123456789abcdef";

inline void append_hex(std::string& out, unsigned char byte) {
  out += kHexDigits[byte >> 4U];
  out += kHexDigits[byte & 15U];
}

}  // namespace handfast
