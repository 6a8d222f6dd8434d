// A path: what comes out is normal, and stays the same when normalised again with its '%' escaped.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/http/path.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view path(reinterpret_cast<const char*>(input.data()), input.size());
  std::string scratch = "left from before";
  const std::optional<std::string_view> normal = http::normalise_path(path, scratch);
  if (!normal) return;
  check(normal->starts_with('/'), "not absolute");
  check(normal->size() <= path.size(), "longer than before");
  check(normal->find("//") == std::string_view::npos, "empty segment");
  const std::string closed = std::string(*normal) + "/";
  check(closed.find("/./") == std::string::npos, "dot segment");
  check(closed.find("/../") == std::string::npos, "dot-dot segment");

  std::string escaped;
  for (const char c : *normal) {
    if (c == '%') {
      escaped.append("%25");
    } else {
      escaped.push_back(c);
    }
  }
  std::string again_scratch;
  const std::optional<std::string_view> again = http::normalise_path(escaped, again_scratch);
  // A NUL can only come unescaped, which no request target holds.
  check(again.has_value() && *again == *normal, "not stable");
}

}  // namespace handfast
