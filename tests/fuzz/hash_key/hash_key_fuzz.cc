// An expression to hash by on the first line, what it reads of a request behind it: the same
// request has the same key, and a literal never counts as a value.

#include <cstddef>
#include <span>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/config/request_expression.h"
#include "proxy/upstream/hash_key.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view all(reinterpret_cast<const char*>(input.data()), input.size());
  const std::size_t line = all.find('\n');
  const std::string_view rest = line == std::string_view::npos ? "" : all.substr(line + 1);
  const auto expression = config::parse_request_expression(all.substr(0, line));
  if (!expression) {
    check(!expression.error().detail.empty(), "refused without a sentence");
    return;
  }
  check(!expression->parts.empty(), "an expression without parts");

  http::RequestHead head;
  head.target = head.path = head.query = head.authority = head.host = rest;
  head.headers.add({"Cookie", rest});
  head.headers.add({rest.substr(0, rest.find(':')), rest});
  const upstream::RequestFacts facts{
      .head = head, .path = rest, .server_name = rest, .client = rest};
  check(upstream::hash_key(*expression, facts) == upstream::hash_key(*expression, facts),
        "two keys of one request");
}

}  // namespace handfast
