#pragma once
// What answers a challenge of ACME HTTP-01 (RFC 8555 section 8.3) for cert-manager: whoever issues
// the certificate must reach it without a word of anybody.

#include <string_view>

#include "controller/objects/meta.h"

namespace handfast::translate {

// One token below /.well-known/acme-challenge/, in an Ingress that cert-manager labels as its
// solver's, or leading to a Service that is called as its solvers are: into an Ingress of somebody
// else it writes its path too (acme.cert-manager.io/http01-edit-in-place).
[[nodiscard]] bool is_acme_solver(const objects::Meta& ingress, std::string_view path,
                                  std::string_view service);

}  // namespace handfast::translate
