#pragma once
// The Date field (RFC 9110 5.6.7).

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace handfast::http {

inline constexpr std::size_t kHttpDateBytes = 29;

// "Sun, 06 Nov 1994 08:49:37 GMT" for now by the wall clock. The view is of a buffer of the calling
// thread, formatted once a second, good until the thread's next call.
[[nodiscard]] std::string_view http_date_now();

// Writes kHttpDateBytes to `out` for a time from 1970 to 9999.
void format_http_date(std::int64_t unix_seconds, char* out);

}  // namespace handfast::http
