// Forwarding headers of a trusted peer: the client is an address, what is believed means something,
// and the head for the backend with all of it is one request that says so once.

#include "proxy/session/client_origin.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/http/authority.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

void try_trust(const http::RequestHead& head, const session::ClientTrust& trust) {
  const net::Address peer = net::Address::from_ip("10.0.0.1", 4711).value();
  session::ClientOrigin origin;
  origin.address = "left from before";
  session::read_client_origin(head.headers, peer, trust, origin);
  check(net::Address::from_ip(origin.address, 0).has_value(), "no address");
  check(origin.scheme.empty() || origin.scheme == "http" || origin.scheme == "https", "scheme");
  check(origin.host.empty() || http::parse_authority(origin.host).has_value(), "host");

  std::string out;
  http::append_request_head(out, head,
                            {.client_address = origin.address,
                             .scheme = "https",
                             .public_port = 443,
                             .request_id = "0123456789abcdef0123456789abcdef",
                             .forwarded_for = origin.forwarded_for,
                             .forwarded_host = origin.host,
                             .original_forwarded_for = origin.original_for,
                             .original_forwarded_host = origin.original_host});
  if (head.authority.empty()) return;  // HTTP/1.0 may come without a Host, and no other
  http::RequestHead again;
  const auto parsed = http::H1RequestParser().parse(out, again);
  // Ours is larger, and may be too large for a parser like ours.
  if (parsed.status != http::ParseStatus::Complete) {
    check(parsed.http_status == 431 || parsed.http_status == 414, "not a request");
    return;
  }
  check(parsed.consumed == out.size(), "more than one request");
  int found = 0;
  for (const http::Header& header : again.headers.items()) {
    if (header.name == "X-Real-IP") {
      check(header.value == origin.address, "another address");
      ++found;
    }
  }
  check(found == 1, "not once");
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  http::RequestHead head;
  if (http::H1RequestParser().parse(bytes, head).status != http::ParseStatus::Complete) return;
  session::ClientTrust trust;
  trust.forwarded = NetworkSet::parse({"10.0.0.0/8", "2001:db8::/32"}).value();
  try_trust(head, trust);
  trust.full_forwarded_for = true;
  try_trust(head, trust);
}

}  // namespace handfast
