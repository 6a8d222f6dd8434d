// Heads of requests to the controller's own endpoints: whatever the bytes, a head or a sentence;
// and what is accepted can't be read in two ways.

#include <string_view>

#include "controller/serving/request_head.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text{reinterpret_cast<const char*>(input.data()), input.size()};

  const auto head = serving::parse_request_head(text);
  if (!head) {
    check(!head.error().detail.empty(), "refused without a word");
    return;
  }
  check(text.find("\r\n\r\n") + 4 == text.size(), "an end before the end");
  check(head->path.starts_with("/"), "a path that is none");
  check(!(head->is_chunked && head->has_length), "two lengths");
  check(head->has_length || head->length == 0, "a length from nowhere");
}

}  // namespace handfast
