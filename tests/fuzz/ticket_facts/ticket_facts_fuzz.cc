// What a ticket tells of a client, which any holder of a shared key may have written.
//
// The first byte chooses: 0 gives the rest as it is. Else the facts of a connection made at start
// are damaged: each following three bytes are an offset (two bytes) and a value to XOR there; with
// bit 1 they are cut at the first offset. What is read must be what stands there, in bounds.

#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/tls/ticket_facts.h"
#include "tests/fuzz/fuzz_one.h"
#include "tests/support/test_authority.h"

namespace handfast {
namespace {

std::string good_facts() {
  const testing::TestAuthority root("root");
  const testing::TestAuthority issuing = root.intermediate("issuing");
  const testing::TestCertificate leaf =
      issuing.issue("alice", {.extended_key_usage = "clientAuth"});
  auto policy = std::make_shared<tls::ClientPolicy>();
  policy->epoch = std::string(64, 'e');
  auto ca = pki::CaBundle::load(root.cert_pem(), testing::kYear2026);
  check(ca.has_value());
  policy->trust.push_back(*ca);
  policy->rules.purpose = pki::Purpose::Client;
  tls::ClientCertificate client(policy);
  const pki::X509StackPtr chain(sk_X509_new_null());
  X509_up_ref(issuing.certificate().x509());
  check(sk_X509_push(chain.get(), issuing.certificate().x509()) > 0);
  client.show(leaf.x509(), chain.get(), testing::kYear2026);
  std::string facts = tls::write_ticket_facts(client);
  check(!facts.empty(), "a good client has facts");
  return facts;
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  static const std::string good = good_facts();
  if (input.empty()) return;
  const auto choice = std::to_integer<unsigned>(input[0]);
  auto rest = input.subspan(1);
  std::string bytes(reinterpret_cast<const char*>(rest.data()), rest.size());
  if (choice != 0) {
    bytes = good;
    bool cuts = (choice & 1) != 0;
    for (; rest.size() >= 3; rest = rest.subspan(3)) {
      const std::size_t offset =
          (std::to_integer<std::size_t>(rest[0]) << 8 | std::to_integer<std::size_t>(rest[1])) %
          good.size();
      if (std::exchange(cuts, false)) bytes.resize(offset);
      if (offset >= bytes.size()) continue;
      bytes[offset] = static_cast<char>(bytes[offset] ^ std::to_integer<char>(rest[2]));
    }
  }
  const auto facts = tls::read_ticket_facts(bytes);
  if (facts) {
    check(facts->epoch == bytes.substr(1, 64) && facts->chain != nullptr);
    check(static_cast<std::size_t>(sk_X509_num(facts->chain.get())) <= bytes.size());
  }
  check(bytes != good || facts.has_value(), "what was written can't be read");
  check(ERR_peek_error() == 0, "errors were left in the queue");
}

}  // namespace handfast
