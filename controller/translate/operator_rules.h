#pragma once
// What the operator decides over the heads of all objects that speak of TLS to a Service: the
// floor, who may go without verification, and where verification is only counted for a time.
//
// The same for annotations and for policies; only the words of the findings differ.

#include <string>
#include <string_view>

#include "controller/objects/meta.h"
#include "controller/translate/findings.h"
#include "controller/translate/options.h"
#include "controller/translate/trace.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// The first floor whose pattern matches, or null.
[[nodiscard]] const Floor* find_floor(const Options& options, std::string_view ns);

// Whether it asks for TLS to Services at all.
[[nodiscard]] bool demands_tls(const Options& options, std::string_view ns);

// --allow-insecure-upstream.
[[nodiscard]] bool may_be_insecure(const Options& options, const objects::Meta& meta);

// What to tell of one that may not: which flag would allow it.
[[nodiscard]] std::string insecure_remedy(const objects::Meta& meta);

// What a policy says with onTrustReduced: Drain: refused but for --allow-trust-drain.
void apply_trust_drain(const Options& options, const objects::Meta& meta, std::uint32_t drain_ms,
                       config::UpstreamTls& rules, ObjectReport& report);

// Which field an object says it with, and what to write there.
struct FloorWords {
  std::string_view field;
  std::string_view verify;
  std::string_view identity;
  std::string_view crl;
  std::string_view versions;
};

// Refuses `rules` if they lie below; raises the least version if `versions_given` is false.
void apply_floor(const Floor& floor, bool versions_given, const FloorWords& words,
                 config::UpstreamTls& rules, ObjectReport& report);

// --upstream-verification-audit: sets audit_until of rules that verify, and tells.
void apply_audit(const Options& options, const objects::Meta& meta, Tracer& tracer,
                 std::string_view field, config::UpstreamTls& rules, ObjectReport& report);

}  // namespace handfast::translate
