#pragma once
// Words and times as the API wants them. Pure; thread-safe.

#include <string>
#include <string_view>

#include "proxy/base/clock.h"

namespace handfast::status {

// "NameMismatch" of "name_mismatch": reasons of conditions and Events.
[[nodiscard]] std::string camel_case(std::string_view word);

// metav1.MicroTime, which wants all six digits: "2026-03-01T12:00:00.000000Z".
[[nodiscard]] std::string micro_time(UnixSeconds time);

}  // namespace handfast::status
