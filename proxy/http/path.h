#pragma once
// The path as routes are matched against it: percent-decoded once, slashes merged, dot segments
// removed, as nginx normalises it: %2F and %2E count as '/' and '.', so that no escape leads around
// a route. Matching only: the backend gets the target as the client sent it.

#include <optional>
#include <string>
#include <string_view>

namespace handfast::http {

// Nothing if `path` doesn't begin with '/' (the "*" of OPTIONS), holds a broken percent escape or
// %00, or climbs above the root: the request is answered 400. Returns a view of `path` itself when
// nothing had to change (the common case costs no copy), else of `scratch`.
[[nodiscard]] std::optional<std::string_view> normalise_path(std::string_view path,
                                                             std::string& scratch);

}  // namespace handfast::http
