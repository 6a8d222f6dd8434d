// A response head, whole and cut in two: the same outcome, the invariants, and a forwarded head
// that our own parser reads as the same answer. An input that begins with 'H' twice answers a HEAD.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"
#include "tests/fuzz/fuzz_one.h"
#include "tests/unit/proxy/http/h1_invariants.h"

namespace handfast {
namespace {

using http::Framing;
using http::H1ResponseParser;
using http::ParseResult;
using http::ParseStatus;
using http::ResponseHead;

constexpr http::H1Limits kLimits{.head_bytes = 2048, .line_bytes = 512};

void check_forwarding(const ResponseHead& head, std::string_view method) {
  const bool chunked = head.framing == Framing::Chunked;
  std::string out;
  http::append_response_head(out, head, {.chunked = chunked});
  ResponseHead again;
  if (head.headers.items().size() + 3 > http::kMaxHeaders) return;
  const ParseResult result = H1ResponseParser().parse(out, method, again);
  check(result.status == ParseStatus::Complete, "forwarded head refused");
  check(again.status == head.status && again.reason == head.reason, "another answer");
  check(again.framing == head.framing, "another framing");
  check(again.content_length == head.content_length, "another length");
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  std::string_view method = "GET";
  if (bytes.starts_with("HH")) {
    bytes.remove_prefix(1);
    method = "HEAD";
  }
  ResponseHead head;
  const ParseResult whole = H1ResponseParser(kLimits).parse(bytes, method, head);
  const char* broken = http::broken_invariant(whole, bytes, kLimits);
  check(broken == nullptr, broken);

  H1ResponseParser split(kLimits);
  ResponseHead split_head;
  ParseResult last = split.parse(bytes.substr(0, bytes.size() / 2), method, split_head);
  if (last.status == ParseStatus::Incomplete) last = split.parse(bytes, method, split_head);
  check(last.status == whole.status && last.consumed == whole.consumed, "depends on the split");
  check(last.error == whole.error, "error by the split");

  if (whole.status != ParseStatus::Complete) return;
  broken = http::broken_invariant(head, bytes);
  check(broken == nullptr, broken);
  check_forwarding(head, method);
}

}  // namespace handfast
