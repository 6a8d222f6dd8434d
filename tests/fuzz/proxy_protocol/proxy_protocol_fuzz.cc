// A PROXY header: what is said of some bytes is said of their continuations, what is complete has
// an end within them, and it tells addresses of one family.

#include "proxy/net/proxy_protocol.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  using State = net::ProxyHeader::State;
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const net::ProxyHeader header = net::read_proxy_header(bytes);
  check(header.problem.empty() == (header.state != State::Bad), "a problem, and only then");
  const std::optional<bool> guess = net::is_proxy_header(bytes);
  check(guess || header.state == State::Incomplete, "too late to say");
  if (header.state == State::Complete) check(guess == true, "not known");
  if (header.state == State::Incomplete) {
    check(bytes.size() < net::kMaxProxyHeader, "no limit");
    return;
  }
  if (header.state == State::Complete) {
    check(header.consumed >= 15 && header.consumed <= bytes.size(), "consumed");
    check(net::read_proxy_header(bytes.substr(0, header.consumed - 1)).state == State::Incomplete,
          "complete too early");
    if (header.endpoints) {
      check(header.endpoints->source.family() == header.endpoints->destination.family(), "family");
    }
  }
  const net::ProxyHeader longer = net::read_proxy_header(std::string(bytes) + "\r\n");
  check(longer.state == header.state && longer.consumed == header.consumed, "changed its mind");
}

}  // namespace handfast
