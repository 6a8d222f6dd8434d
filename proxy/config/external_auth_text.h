#pragma once
// ExternalAuth as text and back, and what makes it valid.

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/rare.h"
#include "proxy/base/result.h"
#include "proxy/config/external_auth.h"
#include "proxy/config/fields.h"

namespace handfast::config {

// The map "auth" of a route.
[[nodiscard]] std::optional<ExternalAuth> find_external_auth(Fields& route, Problem& problem);

void append_external_auth(std::string& out, int indent, const Rare<ExternalAuth>& auth);

[[nodiscard]] Status check_external_auth(const ExternalAuth& auth, std::string_view field);

}  // namespace handfast::config
