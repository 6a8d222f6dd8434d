#include "proxy/upstream/hash_key.h"

#include <algorithm>

#include "proxy/upstream/mix.h"

namespace handfast::upstream {
namespace {

bool is_same_for_all(const config::RequestPart& part) {
  return part.variable == config::RequestVariable::Literal ||
         part.variable == config::RequestVariable::Constant;
}

}  // namespace

std::uint64_t hash_key(const config::RequestExpression& expression, const RequestFacts& facts) {
  ByteHash hash;
  RequestValues values(hash, facts);
  bool said_something = false;
  for (const config::RequestPart& part : expression.parts) {
    said_something = values.add(part) || said_something;
  }
  // An expression without variables does mean one endpoint for everything.
  if (!said_something && !std::ranges::all_of(expression.parts, is_same_for_all)) return kNoHash;
  const std::uint64_t value = hash.finish();
  return value == kNoHash ? 1 : value;
}

}  // namespace handfast::upstream
