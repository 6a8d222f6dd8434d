// The server name of a ClientHello: what is said of some bytes is said of their continuations, and
// it is a name only if the message is whole.

#include "proxy/tls/client_hello.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  using State = tls::ClientHello::State;
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const tls::ClientHello hello = tls::read_client_hello(bytes);
  check(hello.state == State::Complete || hello.server_name.empty(), "a name of nothing");
  check(hello.server_name.size() <= 253, "a long name");
  if (hello.state == State::Incomplete) {
    check(bytes.size() < tls::kMaxClientHello, "no limit");
    return;
  }
  for (const std::string_view more : {std::string_view("\x14\x03\x03"), std::string_view("\x16")}) {
    const tls::ClientHello longer = tls::read_client_hello(std::string(bytes).append(more));
    check(longer.state == hello.state && longer.server_name == hello.server_name,
          "changed its mind");
  }
}

}  // namespace handfast
