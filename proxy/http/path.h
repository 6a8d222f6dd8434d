#pragma once
// The path as routes are matched against it: percent-decoded, slashes merged, dot segments removed,
// as nginx normalises it. Matching only: the backend gets the target as the client sent it.

#include <optional>
#include <string>
#include <string_view>

namespace handfast::http {

// `path` begins with '/'. Nothing if it holds a broken percent escape, %00, or climbs above the
// root: the request is answered 400. Returns a view of `path` itself when nothing had to change (the
// common case costs no copy), else of `scratch`.
[[nodiscard]] std::optional<std::string_view> normalise_path(std::string_view path,
                                                             std::string& scratch);

}  // namespace handfast::http
