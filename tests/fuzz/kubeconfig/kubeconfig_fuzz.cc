// Kubeconfigs, and what exec plugins print: whatever the bytes, a value or a sentence; and what is
// accepted names a server that can be verified.

#include <string_view>

#include "controller/kube/access.h"
#include "controller/kube/exec_plugin.h"
#include "controller/source/kubeconfig.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text{reinterpret_cast<const char*>(input.data()), input.size()};

  if (const auto access = source::parse_kubeconfig_text(text, "/etc/handfast")) {
    check(access->server.starts_with("https://"), "a server without TLS");
    check(access->ca.is_set(), "a server without a CA");
    check(kube::parse_server(access->server).has_value(), "a server that is none");
    check(access->client_certificate.is_set() == access->client_key.is_set(), "half a pair");
  }
  if (const auto credential = kube::parse_exec_credential(text)) {
    check(!credential->token.empty() || !credential->client_key.empty(), "a credential of nothing");
  }
}

}  // namespace handfast
