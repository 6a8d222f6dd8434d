// A stapled OCSP response, from whoever holds a certificate.
//
// The first byte chooses: 0 gives the rest as it is. Else good responses made at start are damaged:
// the byte's other bits say which of them, and each following three bytes are an offset (two bytes)
// and a value to XOR there. Every one of them says "revoked" or is about another certificate, so
// whatever is done to them, none may ever vouch for the peer.

#include <openssl/err.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/pki/ocsp.h"
#include "tests/fuzz/fuzz_one.h"
#include "tests/support/test_ocsp.h"

namespace handfast {
namespace {

struct Scene {
  testing::TestAuthority issuer{"issuing"};
  testing::TestCertificate leaf = issuer.issue("a.svc.test");
  testing::TestCertificate other = issuer.issue("a.svc.test");
  testing::TestCertificate responder =
      issuer.issue("responder", {.extended_key_usage = "OCSPSigning"});
  std::vector<std::string> responses{
      testing::ocsp_response(issuer, leaf, {.status = testing::OcspOptions::Status::Revoked}),
      testing::ocsp_response(
          issuer, leaf, {.status = testing::OcspOptions::Status::Revoked, .responder = &responder}),
      testing::ocsp_response(issuer, other),
      testing::ocsp_response(issuer, other, {.responder = &responder, .by_key = true}),
      testing::ocsp_response(issuer, leaf, {.break_signature = true})};
};

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  static const Scene scene;
  if (input.empty()) return;
  const auto choice = std::to_integer<std::size_t>(input[0]);
  auto rest = input.subspan(1);
  std::string response(reinterpret_cast<const char*>(rest.data()), rest.size());
  if (choice != 0) {
    response = scene.responses[choice % scene.responses.size()];
    for (; rest.size() >= 3; rest = rest.subspan(3)) {
      const auto offset =
          (std::to_integer<std::size_t>(rest[0]) << 8) | std::to_integer<std::size_t>(rest[1]);
      char& byte = response[offset % response.size()];
      byte = static_cast<char>(byte ^ std::to_integer<char>(rest[2]));
    }
  }
  const pki::OcspVerdict verdict = pki::judge_ocsp(
      {reinterpret_cast<const unsigned char*>(response.data()), response.size()},
      *scene.leaf.x509(), *scene.issuer.certificate().x509(), {}, testing::kYear2026);
  check(verdict.reason == Reason::Ocsp || verdict.reason == Reason::Revoked,
        "a response that never vouched was believed");
  check(!verdict.detail.empty() && verdict.valid_until == 0);
  check(ERR_peek_error() == 0, "errors were left in the queue");
}

}  // namespace handfast
