#pragma once
// What the endpoints' answers to a preflight mean.
//
//   one speaks against it            Refused
//   else one took it                 Passed
//   else one could not be reached    Unreached
//   else                             Nobody: there was none whose word counts
//
// A revoked backend has no vote. Nor, if only our certificate is new, has one that we don't trust
// for whatever reason: it never saw that certificate, and was refused under the old one as well.
//
// Pure; thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/reason.h"
#include "proxy/config/preflight.h"

namespace handfast::preflight {

enum class Verdict : std::uint8_t { Passed, Refused, Unreached, Nobody };

struct Judgement {
  Verdict verdict = Verdict::Nobody;
  bool is_confirmed = true;    // of Passed: false if nobody said more than a handshake does
  std::string address;         // of the endpoint that decided; empty: none did
  Reason reason = Reason::Ok;  // its word, of Refused and Unreached
  std::string detail;
};

// "passed", "refused", "unreached", "no_endpoint".
[[nodiscard]] std::string_view to_string(Verdict verdict);

[[nodiscard]] Judgement judge(const config::PreflightAnswer& answer, bool is_trust_new);

}  // namespace handfast::preflight
