#pragma once
// OCSP responses for tests, as a responder would make them, or wrongly on purpose.

#include <optional>
#include <string>

#include "tests/support/test_authority.h"

namespace handfast::testing {

struct OcspOptions {
  enum class Status : std::uint8_t { Good, Revoked, Unknown };
  Status status = Status::Good;
  UnixSeconds this_update = kYear2026 - kDay;
  std::optional<UnixSeconds> next_update = kYear2026 + kDay;
  const TestCertificate* responder = nullptr;  // signs; null: the issuer itself
  bool with_certificate = true;                // of the responder, in the response
  bool by_key = false;                         // the responder is named by its key's digest
  std::string digest = "SHA256";               // of the signature
  std::string id_digest = "SHA1";              // of the names of certificates
  bool break_signature = false;
  bool try_later = false;  // no answer at all
};

// DER; what `issuer` says of `certificate`.
[[nodiscard]] std::string ocsp_response(const TestAuthority& issuer,
                                        const TestCertificate& certificate,
                                        const OcspOptions& options = {});

}  // namespace handfast::testing
