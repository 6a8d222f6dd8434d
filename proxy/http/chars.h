#pragma once
// Character classes of HTTP (RFC 9110 5.6, RFC 9112 3) as tables, and ASCII comparison. The C
// library's functions obey the locale and are slower.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace handfast::http {

inline constexpr std::uint8_t kTokenChar = 1;     // tchar: names, methods
inline constexpr std::uint8_t kValueChar = 2;     // HTAB, SP, visible ASCII, obs-text
inline constexpr std::uint8_t kTargetChar = 4;    // visible ASCII but '#'
inline constexpr std::uint8_t kHostChar = 8;      // unreserved (RFC 3986 2.3)
inline constexpr std::uint8_t kOddNameChar = 16;  // tchar but letters, digits and '-'

namespace chars_detail {

constexpr bool is_alnum(unsigned c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

constexpr std::array<std::uint8_t, 256> make_classes() {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  constexpr std::string_view kHostMarks = "-._~";
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const char as_char = static_cast<char>(c);
    unsigned bits = 0;
    if (is_alnum(c) || (c != 0 && kTokenMarks.find(as_char) != std::string_view::npos)) {
      bits |= kTokenChar;
    }
    if ((bits & kTokenChar) != 0 && !is_alnum(c) && c != '-') bits |= kOddNameChar;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) bits |= kValueChar;
    if (c > 0x20 && c < 0x7f && c != '#') bits |= kTargetChar;
    if (is_alnum(c) || (c != 0 && kHostMarks.find(as_char) != std::string_view::npos)) {
      bits |= kHostChar;
    }
    table[c] = static_cast<std::uint8_t>(bits);
  }
  return table;
}

constexpr std::array<char, 256> make_lower() {
  std::array<char, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    table[c] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  }
  return table;
}

// Letters to lower case, everything but letters and digits to '-'.
constexpr std::array<char, 256> make_folded() {
  std::array<char, 256> table = make_lower();
  for (unsigned c = 0; c < 256; ++c) {
    if (!is_alnum(c)) table[c] = '-';
  }
  return table;
}

// The value of a hexadecimal digit, or 255.
constexpr std::array<std::uint8_t, 256> make_hex() {
  std::array<std::uint8_t, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    unsigned value = 255;
    if (c >= '0' && c <= '9') value = c - '0';
    if (c >= 'A' && c <= 'F') value = c - 'A' + 10;
    if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
    table[c] = static_cast<std::uint8_t>(value);
  }
  return table;
}

inline constexpr auto kClasses = make_classes();
inline constexpr auto kLower = make_lower();
inline constexpr auto kFolded = make_folded();
inline constexpr auto kHex = make_hex();

}  // namespace chars_detail

// All classes of a byte, as bits.
constexpr unsigned classes_of(char c) {
  return chars_detail::kClasses[static_cast<unsigned char>(c)];
}
constexpr bool has_class(char c, std::uint8_t classes) { return (classes_of(c) & classes) != 0; }
constexpr char to_lower(char c) { return chars_detail::kLower[static_cast<unsigned char>(c)]; }
constexpr char to_folded(char c) { return chars_detail::kFolded[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

inline constexpr unsigned kNotHex = 255;
constexpr unsigned hex_value(char c) { return chars_detail::kHex[static_cast<unsigned char>(c)]; }

constexpr bool equal_ignore_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  }
  return true;
}

constexpr bool is_token(std::string_view text) {
  for (const char c : text) {
    if (!has_class(c, kTokenChar)) return false;
  }
  return !text.empty();
}

constexpr std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace handfast::http
