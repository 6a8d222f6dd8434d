#pragma once
// Reads a kubeconfig file.

#include <string>
#include <string_view>

#include "controller/kube/access.h"
#include "proxy/base/result.h"

namespace handfast::source {

// By its current context. Paths in it are relative to where it lies.
[[nodiscard]] Result<kube::Access> load_kubeconfig(const std::string& path);
// The same of its text; for tests and fuzzing.
[[nodiscard]] Result<kube::Access> parse_kubeconfig_text(std::string_view text,
                                                         const std::string& folder);

}  // namespace handfast::source
