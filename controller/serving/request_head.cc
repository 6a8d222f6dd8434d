#include "controller/serving/request_head.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace handfast::serving {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c != '\x7f'; });
}

bool is_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

std::string lower(std::string_view text) {
  std::string made{text};
  std::ranges::transform(made, made.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return made;
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The next line, without its end; `text` is what follows.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find(kLineEnd), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + kLineEnd.size(), text.size()));
  return line;
}

Status refuse(std::string why) { return fail(Reason::InvalidValue, std::move(why)); }

Status read_request_line(std::string_view line, RequestHead& head) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return refuse("no request line");
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(line.substr(0, first))) return refuse("a method that is none");
  if (!target.starts_with('/') || !is_visible(target)) return refuse("a target that is no path");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse("not HTTP/1.1");
  head.method = std::string(line.substr(0, first));
  head.path = std::string(target.substr(0, target.find('?')));
  head.closes = version == "HTTP/1.0";
  return {};
}

Status read_length(std::string_view value, RequestHead& head) {
  std::size_t length = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, length);
  if (error != std::errc{} || stop != end) return refuse("a Content-Length that is none");
  if (head.has_length && head.length != length) return refuse("two lengths");
  head.has_length = true;
  head.length = length;
  return {};
}

bool has_element(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (trimmed(list.substr(0, comma)) == wanted) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

Status read_field(std::string_view line, RequestHead& head) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return refuse("a field without a name");
  }
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_value(value)) return refuse("a control character");
  if (name == "content-length") return read_length(value, head);
  if (name == "transfer-encoding") head.is_chunked = true;
  if (name == "connection" && has_element(lower(value), "close")) head.closes = true;
  if (name == "expect" && lower(value) == "100-continue") head.expects_continue = true;
  return {};
}

}  // namespace

Result<RequestHead> parse_request_head(std::string_view text) {
  if (!text.ends_with("\r\n\r\n")) return fail(Reason::InvalidValue, "no end");
  RequestHead head;
  if (Status read = read_request_line(take_line(text), head); !read) {
    return fail(std::move(read.error()));
  }
  while (true) {
    const std::string_view line = take_line(text);
    if (line.empty()) break;
    if (Status read = read_field(line, head); !read) return fail(std::move(read.error()));
  }
  if (!text.empty()) return fail(Reason::InvalidValue, "more than a head");
  // RFC 9112 6.3: a request with both is an attack or a bug.
  if (head.is_chunked && head.has_length) return fail(Reason::InvalidValue, "two lengths");
  return head;
}

}  // namespace handfast::serving
