// A request head, whole and cut in two: the same outcome, the invariants, and a forwarded head that
// our own parser reads as the same request.

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

using http::H1RequestParser;
using http::ParseResult;
using http::ParseStatus;
using http::RequestHead;

// Small, so that short inputs reach them.
constexpr http::H1Limits kLimits{.head_bytes = 2048, .line_bytes = 512};

void check_forwarding(const RequestHead& head) {
  std::string out;
  http::append_request_head(out, head, {"192.0.2.7", "http", 80, "0123456789abcdef"});
  RequestHead again;
  const ParseResult result =
      H1RequestParser({.head_bytes = 16'384, .line_bytes = 8192}).parse(out, again);
  if (head.authority.empty()) return;  // HTTP/1.0 without Host: an empty one is sent on
  if (head.headers.items().size() + 10 > http::kMaxHeaders) return;
  check(result.status == ParseStatus::Complete, "forwarded head refused");
  check(result.consumed == out.size(), "forwarded head split");
  check(again.target == head.target && again.method == head.method, "another request");
  check(again.framing == head.framing, "another framing");
  check(again.content_length == head.content_length, "another length");
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  RequestHead head;
  const ParseResult whole = H1RequestParser(kLimits).parse(bytes, head);
  const char* broken = http::broken_invariant(whole, bytes, kLimits);
  check(broken == nullptr, broken);

  H1RequestParser split(kLimits);
  RequestHead split_head;
  ParseResult last = split.parse(bytes.substr(0, bytes.size() / 2), split_head);
  if (last.status == ParseStatus::Incomplete) last = split.parse(bytes, split_head);
  check(last.status == whole.status && last.consumed == whole.consumed, "depends on the split");
  check(last.http_status == whole.http_status && last.error == whole.error, "error by the split");

  if (whole.status != ParseStatus::Complete) return;
  broken = http::broken_invariant(head, bytes);
  check(broken == nullptr, broken);
  check_forwarding(head);
}

}  // namespace handfast
