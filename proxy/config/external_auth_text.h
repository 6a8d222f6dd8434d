#pragma once
// ExternalAuth as text and back, and what makes it valid.

#include <string>
#include <string_view>

#include "proxy/base/rare.h"
#include "proxy/base/result.h"
#include "proxy/config/external_auth.h"
#include "proxy/config/fields.h"

namespace handfast::config {

// The map "auth" of a route.
[[nodiscard]] ExternalAuth read_external_auth(Fields& fields);

void append_external_auth(std::string& out, int indent, const Rare<ExternalAuth>& auth);

[[nodiscard]] Status check_external_auth(const ExternalAuth& auth, std::string_view field);

}  // namespace handfast::config
