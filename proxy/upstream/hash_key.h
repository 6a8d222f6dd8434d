#pragma once
// The number that says which endpoint of a consistent hash gets a request (upstream-hash-by).
//
// The values (request_values.h) are strung together. They are whatever the client sent: it may
// choose its endpoint, and gains nothing by it.
//
// A request for which every variable is empty (no such cookie yet) has no key. nginx sends all of
// those to one endpoint; here they take turns over all.
//
// Pure: allocates nothing; thread-safe.

#include <cstdint>

#include "proxy/config/request_expression.h"
#include "proxy/upstream/request_values.h"

namespace handfast::upstream {

inline constexpr std::uint64_t kNoHash = 0;

[[nodiscard]] std::uint64_t hash_key(const config::RequestExpression& expression,
                                     const RequestFacts& facts);

}  // namespace handfast::upstream
