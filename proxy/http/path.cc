#include "proxy/http/path.h"

#include <cstddef>

#include "proxy/http/chars.h"

namespace handfast::http {
namespace {

// "", ".", ".." between slashes.
bool is_special(std::string_view segment) {
  return segment.empty() || segment == "." || segment == "..";
}

bool is_normal(std::string_view path) {
  if (path.find('%') != std::string_view::npos) return false;
  std::size_t begin = 1;
  while (true) {
    const std::size_t slash = path.find('/', begin);
    if (slash == std::string_view::npos) break;
    if (is_special(path.substr(begin, slash - begin))) return false;
    begin = slash + 1;
  }
  // An empty last segment is a trailing slash, which stays.
  return begin == path.size() || !is_special(path.substr(begin));
}

bool decode(std::string_view path, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    if (path.size() - i < 3) return false;
    const unsigned high = hex_value(path[i + 1]);
    const unsigned low = hex_value(path[i + 2]);
    if (high == kNotHex || low == kNotHex || high + low == 0) return false;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

// Removes special segments in place; false if they climb above the root. What is written never
// overtakes what is read.
bool remove_special_segments(std::string& path) {
  std::size_t written = 1;  // path[0, written) ends with a slash at the head of this loop
  std::size_t begin = 1;
  while (begin < path.size()) {
    const std::size_t slash = path.find('/', begin);
    const std::size_t end = slash == std::string::npos ? path.size() : slash;
    const std::string_view segment(path.data() + begin, end - begin);
    if (segment == "..") {
      if (written == 1) return false;
      written = path.rfind('/', written - 2) + 1;
    } else if (!is_special(segment)) {
      for (const char c : segment) path[written++] = c;
      if (slash != std::string::npos) path[written++] = '/';
    }
    begin = end + 1;
  }
  path.resize(written);
  return true;
}

}  // namespace

std::optional<std::string_view> normalise_path(std::string_view path, std::string& scratch) {
  if (path.empty() || path.front() != '/') return std::nullopt;
  if (is_normal(path)) return path;
  if (!decode(path, scratch) || !remove_special_segments(scratch)) return std::nullopt;
  return scratch;
}

}  // namespace handfast::http
