#pragma once
// The values of the annotations that say how a route speaks to its Service, each read strictly:
// ingress-nginx took its default for a value that it couldn't read, and said nothing. Pure; errors
// are InvalidValue with a sentence that says what is wrong.

#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/config/traffic.h"

namespace handfast::translate {

// Decimal digits, `least` to `most`.
[[nodiscard]] Result<std::uint32_t> parse_count(std::string_view value, std::uint32_t least,
                                                std::uint32_t most);

// Whole seconds, as milliseconds; at most 49 days, which is what 32 bits hold.
inline constexpr std::uint32_t kMostSeconds = 4'294'967;
[[nodiscard]] Result<std::uint32_t> parse_seconds(std::string_view value, std::uint32_t least);

// A size of nginx: digits, and a 'k', 'm' or 'g' (also 'b', which ingress-nginx let pass).
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view value);

// The conditions of proxy-next-upstream, separated by blanks: error, timeout, invalid_header,
// non_idempotent, http_<status>; or "off" alone. Sets conditions and statuses, nothing else.
[[nodiscard]] Status parse_next_upstream(std::string_view value, config::RetryPolicy& retry);

// round_robin, ewma or least_request.
[[nodiscard]] Result<config::LoadBalance> parse_load_balance(std::string_view value);

// What the appProtocol of a Service's port says about the protocol there.
struct AppProtocol {
  std::optional<bool> tls;  // absent: it says nothing about TLS
  bool http2 = false;
};
// Those of Kubernetes, http, https and grpc, in any case; absent if it is another.
[[nodiscard]] std::optional<AppProtocol> find_app_protocol(std::string_view word);

}  // namespace handfast::translate
