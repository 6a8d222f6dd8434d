#pragma once
// What stands behind the code in a status line.
//
// Pure; thread-safe.

#include <string_view>

namespace handfast::http {

// "Not Found" for 404; "" for a code without a standard phrase.
[[nodiscard]] std::string_view reason_phrase(int status);

}  // namespace handfast::http
