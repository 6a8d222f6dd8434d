// The query of /status.json: it is refused with a sentence, or what it asks for is within bounds.

#include <cstddef>
#include <span>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/server/status_query.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const auto query =
      server::parse_status_query({reinterpret_cast<const char*>(input.data()), input.size()});
  if (!query) {
    check(query.error().reason == Reason::InvalidValue && !query.error().detail.empty());
    return;
  }
  check(query->text.size() <= server::StatusQuery::kMostText, "too long a text");
  check(query->limit >= 1 && query->limit <= server::StatusQuery::kMostHosts, "no such limit");
}

}  // namespace handfast
