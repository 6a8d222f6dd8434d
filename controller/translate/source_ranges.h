#pragma once
// Whose requests an Ingress takes, by the client's address: denylist-source-range, and
// allowlist-source-range with its older name whitelist-source-range (nginx's deny and allow).
//
// What is no network refuses the Ingress, as in ingress-nginx: a list with a mistake in it must not
// let everybody in. Each path has lists of its own, so what one Ingress makes of them is bounded.

#include <cstddef>
#include <optional>
#include <string_view>

#include "controller/translate/annotations.h"
#include "controller/translate/findings.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// The networks of all routes of an Ingress together.
inline constexpr std::size_t kMostSourceRanges = 100'000;

// Nothing: everybody's, or it refused.
[[nodiscard]] std::optional<config::SourceRanges> read_source_ranges(
    const objects::Ingress& ingress, const Annotations& annotations, ObjectReport& report,
    std::optional<config::Refusal>& refused);

[[nodiscard]] bool is_source_range(std::string_view annotation);

}  // namespace handfast::translate
