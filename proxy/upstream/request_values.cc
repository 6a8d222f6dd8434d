#include "proxy/upstream/request_values.h"

namespace handfast::upstream {
namespace {

// Takes what stands before `separator` off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return taken;
}

}  // namespace

std::string_view find_pair(std::string_view text, char separator, std::string_view name) {
  while (!text.empty()) {
    std::string_view value = take_until(text, separator);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (value.size() > name.size() && value[name.size()] == '=' &&
        http::equal_ignore_case(value.substr(0, name.size()), name)) {
      return value.substr(name.size() + 1);
    }
  }
  return {};
}

std::string_view find_cookie(const http::RequestHead& head, std::string_view name) {
  for (const http::Header& header : head.headers.items()) {
    if (!http::equal_ignore_case(header.name, "cookie")) continue;
    if (const std::string_view value = find_pair(header.value, ';', name); !value.empty()) {
      return value;
    }
  }
  return {};
}

std::string_view find_basic_credentials(const http::RequestHead& head) {
  constexpr std::string_view kBasic = "Basic ";
  for (const http::Header& header : head.headers.items()) {
    if (!http::equal_ignore_case(header.name, "authorization")) continue;
    if (!http::equal_ignore_case(header.value.substr(0, kBasic.size()), kBasic)) return {};
    return http::trim_blanks(header.value.substr(kBasic.size()));
  }
  return {};
}

std::uint32_t base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<std::uint32_t>(c - 'A');
  if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a' + 26);
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0' + 52);
  if (c == '+') return 62;
  if (c == '/') return 63;
  return kNotBase64;
}

}  // namespace handfast::upstream
