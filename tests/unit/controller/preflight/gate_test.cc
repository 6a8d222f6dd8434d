// Through the Reconciler, whose rounds it is a part of.

#include "controller/preflight/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/unit/controller/reconcile/reconcile_fixture.h"

namespace handfast::preflight {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kPlace = R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: orders, namespace: shop}
spec:
  ingressClassName: handfast
  rules:
  - host: orders.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: orders, port: {number: 443}}}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{port: 443}]}
---
)";

std::string slice_yaml(const std::string& addresses, bool ready = true) {
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: orders-1, "
         "namespace: shop, labels: {kubernetes.io/service-name: orders}}\naddressType: IPv4\n"
         "ports: [{port: 8443}]\nendpoints:\n- {addresses: [" +
         addresses + "], conditions: {ready: " + (ready ? "true" : "false") + "}}\n---\n";
}

std::string policy_yaml(const std::string& preflight, const std::string& revocation = "") {
  return R"(
apiVersion: handfast.dev/v1alpha1
kind: UpstreamTLSPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{name: orders}]
  mode: ClientAndServer
  clientCertificateRef: {name: orders-tls}
  validation:
    hostname: orders.shop.svc
    caCertificateRefs: [{kind: ConfigMap, name: roots}]
)" + revocation +
         "  rotation: {preflight: " + preflight + "}\n---\n";
}

// As a block of YAML, four spaces in.
std::string block(const std::string& pem) {
  std::string text = "|\n    ";
  for (const char c : pem) {
    text += c;
    if (c == '\n') text += "    ";
  }
  return text + '\n';
}

std::string roots_yaml(const std::string& pem) {
  return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: roots, namespace: shop}\ndata:\n  "
         "ca.crt: " +
         block(pem) + "---\n";
}

config::PreflightAnswer answer(Reason reason) {
  return {.refused = Reason::Ok,
          .detail = {},
          .votes = {{"10.0.0.1:8443", reason, "why", config::Acceptance::Accepted}}};
}

class GateTest : public reconcile::testing::ReconcileFixture {
 protected:
  static constexpr const char* kShard = "tls/shop/orders@utls/orders:443";

  void give_pair(const std::string& client) {
    give(reconcile::testing::secret_yaml("orders", reconcile::testing::pair_keys(client)));
  }
  // The pair of "first" and the CA "a" serve.
  void serve(const std::string& preflight, const std::string& slice = slice_yaml("10.0.0.1")) {
    give(kPlace + slice + policy_yaml(preflight) + roots_yaml(a_.cert_pem()) +
         reconcile::testing::secret_yaml("orders", reconcile::testing::pair_keys("first")));
    reconciler_.work();
    first_ = served().identity.value_or(config::KeyPairRef{}).certificate;
    ASSERT_NE(first_, "");
    ASSERT_TRUE(asker_.questions.empty());
  }
  [[nodiscard]] config::UpstreamTls served() {
    const auto seen = publish::testing::read_current(files_);
    EXPECT_TRUE(seen) << seen.error();
    return std::get<config::UpstreamTls>(config::parse_shard(seen->shards.at(kShard)).value());
  }
  [[nodiscard]] bool serves_first() { return served().identity->certificate == first_; }
  void reply(Result<config::PreflightAnswer> told) {
    const Question& question = asker_.questions.back();
    reconciler_.on_reply(Reply{question.policy, question.number, std::move(told)});
    reconciler_.work();
  }
  // Whether a finding with the word is out.
  [[nodiscard]] bool tells(Reason reason) {
    const std::string word = "reason=\"" + std::string(to_string(reason)) + "\"";
    const std::string text = metrics_.render();
    for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
      const std::size_t end = text.find('\n', at);
      if (!text.substr(at, end - at).ends_with(" 0")) return true;
    }
    return false;
  }

  const handfast::testing::TestAuthority a_{"a"};
  const handfast::testing::TestAuthority b_{"b"};
  std::string first_;
};

TEST_F(GateTest, EnforcedTheOldIdentityServesUntilTheNewOneWasTaken) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();

  EXPECT_TRUE(serves_first());
  ASSERT_TRUE(served().candidate);
  ASSERT_EQ(asker_.questions.size(), 1u);
  const Question& question = asker_.questions.front();
  EXPECT_TRUE(question.is_awaited);
  EXPECT_EQ(question.request.tls.identity, served().candidate->identity);
  EXPECT_NE(question.request.tls.identity->certificate, first_);
  EXPECT_EQ(question.request.endpoints.front().address, "10.0.0.1");
  EXPECT_TRUE(writer_.read_item_file(question.request.tls.identity->key));

  reply(answer(Reason::Ok));

  EXPECT_FALSE(serves_first());
  EXPECT_FALSE(served().candidate);
  EXPECT_EQ(served().identity, question.request.tls.identity);
}

TEST_F(GateTest, EnforcedARefusalKeepsTheOldIdentityAndIsAskedAgain) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  reply(answer(Reason::ClientCertificateRejected));

  EXPECT_TRUE(serves_first());
  EXPECT_TRUE(tells(Reason::ClientCertificateRejected));
  EXPECT_EQ(asker_.questions.size(), 1u);
  advance(Gate::kFirstPause);
  EXPECT_LE(wait(), 0ms);
  reconciler_.work();
  ASSERT_EQ(asker_.questions.size(), 2u);

  reply(answer(Reason::Ok));
  EXPECT_FALSE(serves_first());
  EXPECT_FALSE(tells(Reason::ClientCertificateRejected));
}

TEST_F(GateTest, WarnPromotesAtOnceAndTells) {
  serve("Warn");
  give_pair("second");
  reconciler_.work();

  EXPECT_FALSE(serves_first());
  EXPECT_FALSE(served().candidate);
  ASSERT_EQ(asker_.questions.size(), 1u);
  EXPECT_FALSE(asker_.questions.front().is_awaited);
  reply(answer(Reason::ClientCertificateRejected));
  EXPECT_TRUE(tells(Reason::ClientCertificateRejected));
  EXPECT_FALSE(serves_first());
}

TEST_F(GateTest, OffAsksNobody) {
  serve("\"Off\"");
  give_pair("second");
  reconciler_.work();

  EXPECT_FALSE(serves_first());
  EXPECT_TRUE(asker_.questions.empty());
}

TEST_F(GateTest, ARevocationIsNotKeptBackWithAnIdentity) {
  serve("Enforce");
  give_pair("second");
  give(policy_yaml("Enforce", "    revocation: {crlRefs: [{kind: ConfigMap, name: revoked}]}\n") +
       "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: revoked, namespace: shop}\ndata:\n  "
       "ca.crl: ${CRL:a}\n---\n");
  reconciler_.work();

  EXPECT_TRUE(serves_first());
  EXPECT_EQ(served().crl.size(), 1u);
  EXPECT_EQ(asker_.questions.front().request.tls.crl, served().crl);

  // One that comes while the question is out doesn't wait for the answer, nor begin it anew.
  give(policy_yaml("Enforce"));
  reconciler_.work();
  EXPECT_TRUE(served().crl.empty());
  EXPECT_TRUE(serves_first());
  EXPECT_EQ(asker_.questions.size(), 1u);
}

TEST_F(GateTest, EnforcedAddedTrustWaits) {
  serve("Enforce");
  const auto before = served().ca;
  give(roots_yaml(a_.cert_pem() + b_.cert_pem()));
  reconciler_.work();

  EXPECT_EQ(served().ca, before);
  ASSERT_EQ(asker_.questions.size(), 1u);
  EXPECT_EQ(asker_.questions.front().request.tls.ca, served().candidate->ca);
  reply(answer(Reason::UntrustedIssuer));
  EXPECT_EQ(served().ca, before);
  EXPECT_TRUE(tells(Reason::UntrustedIssuer));
}

TEST_F(GateTest, TrustThatShrinksWaitsForNobody) {
  serve("Enforce");
  const auto before = served().ca;
  give(roots_yaml(b_.cert_pem()));
  reconciler_.work();

  EXPECT_NE(served().ca, before);
  EXPECT_FALSE(served().candidate);
  // What came instead of it is asked about all the same.
  EXPECT_EQ(asker_.questions.size(), 1u);
}

TEST_F(GateTest, TrustThatOnlyShrinksIsNotAskedAbout) {
  serve("Enforce");
  give(roots_yaml(a_.cert_pem() + b_.cert_pem()));
  reconciler_.work();
  reply(answer(Reason::Ok));
  ASSERT_EQ(asker_.questions.size(), 1u);
  give(roots_yaml(b_.cert_pem()));
  reconciler_.work();

  EXPECT_FALSE(served().candidate);
  EXPECT_EQ(asker_.questions.size(), 1u);
}

TEST_F(GateTest, WhatIsGoneIsGoneAtOnce) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  reconciler_.take(reconcile::testing::batch_without({"Secret", "shop", "orders-tls"}));
  reconciler_.work();

  ASSERT_TRUE(served().refused);
  EXPECT_FALSE(served().identity);
  EXPECT_FALSE(served().candidate);
}

TEST_F(GateTest, WithoutAReadyEndpointItIsPromoted) {
  serve("Enforce", slice_yaml("10.0.0.1", /*ready=*/false));
  give_pair("second");
  reconciler_.work();
  reconciler_.work();

  EXPECT_TRUE(asker_.questions.empty());
  EXPECT_FALSE(serves_first());
}

TEST_F(GateTest, ARevokedBackendHoldsNothingUp) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  reply(answer(Reason::Revoked));

  EXPECT_FALSE(serves_first());
}

TEST_F(GateTest, AskedAreThreeAndOthersTheNextTime) {
  serve("Enforce", slice_yaml("10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4"));
  give_pair("second");
  reconciler_.work();
  EXPECT_EQ(asker_.questions.back().request.endpoints.size(), Gate::kMostEndpoints);
  reply(answer(Reason::ConnectRefused));
  advance(Gate::kFirstPause);
  reconciler_.work();

  ASSERT_EQ(asker_.questions.size(), 2u);
  EXPECT_EQ(asker_.questions.back().request.endpoints.front().address, "10.0.0.4");
}

TEST_F(GateTest, OtherEndpointsAreAskedSoon) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  for (int i = 0; i < 4; ++i) {
    reply(answer(Reason::ClientCertificateRejected));
    advance(wait());
    reconciler_.work();
    while (asker_.questions.size() < static_cast<std::size_t>(i) + 2) {
      advance(wait());
      reconciler_.work();
    }
  }
  reply(answer(Reason::ClientCertificateRejected));
  const std::size_t asked = asker_.questions.size();
  give(slice_yaml("10.0.0.9"));
  reconciler_.work();
  advance(1s);
  reconciler_.work();

  ASSERT_EQ(asker_.questions.size(), asked + 1);
  EXPECT_EQ(asker_.questions.back().request.endpoints.front().address, "10.0.0.9");
}

TEST_F(GateTest, AnAnswerAboutWhatIsNotWantedAnyMoreCountsForNothing) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  const Question old = asker_.questions.back();
  give_pair("third");
  reconciler_.work();
  reconciler_.on_reply(Reply{old.policy, old.number, answer(Reason::Ok)});
  reconciler_.work();

  EXPECT_TRUE(serves_first());
  reply(answer(Reason::Ok));
  EXPECT_FALSE(serves_first());
}

TEST_F(GateTest, TheOldContentAgainEndsTheQuestion) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  reply(answer(Reason::ClientCertificateRejected));
  give_pair("first");
  reconciler_.work();

  EXPECT_TRUE(serves_first());
  EXPECT_FALSE(served().candidate);
  EXPECT_FALSE(tells(Reason::ClientCertificateRejected));
}

TEST_F(GateTest, AControllerThatStartsAnewGoesOnWhereTheOneBeforeWas) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  ASSERT_TRUE(served().candidate);

  publish::GenerationWriter writer{files_};
  ASSERT_TRUE(writer.recover(nullptr));
  publish::Publisher publisher{writer, proxy_, clock_};
  reconcile::testing::RecordingAsker asker;
  reconcile::Reconciler again{
      {writer, publisher, metrics_, clock_, nullptr, nullptr, nullptr, &asker}, {}, {}};
  again.take(reconcile::testing::batch_of(material_.fill(
      kPlace + slice_yaml("10.0.0.1") + policy_yaml("Enforce") + roots_yaml(a_.cert_pem()) +
      reconcile::testing::secret_yaml("orders", reconcile::testing::pair_keys("second")))));
  again.work();

  EXPECT_TRUE(serves_first());
  ASSERT_EQ(asker.questions.size(), 1u);
  again.on_reply(Reply{asker.questions[0].policy, asker.questions[0].number, answer(Reason::Ok)});
  again.work();
  EXPECT_FALSE(serves_first());
}

TEST_F(GateTest, AProxyThatCannotBeAskedIsAskedAgain) {
  serve("Enforce");
  give_pair("second");
  reconciler_.work();
  reply(fail(Reason::Io, "no proxy listens"));
  EXPECT_TRUE(serves_first());
  advance(Gate::kFirstPause);
  reconciler_.work();

  EXPECT_EQ(asker_.questions.size(), 2u);
}

// An old certificate that ends is none to stay with.
TEST_F(GateTest, TheNewOneTakesThePlaceOfOneThatExpires) {
  const handfast::testing::TestAuthority authority{"clients"};
  const auto ending = authority.issue("ending", {.not_after = clock_.unix_now() + 60});
  give(kPlace + slice_yaml("10.0.0.1") + policy_yaml("Enforce") + roots_yaml(a_.cert_pem()) +
       "apiVersion: v1\nkind: Secret\nmetadata: {name: orders-tls, namespace: shop}\nstringData:\n"
       "  tls.crt: " +
       block(ending.cert_pem()) + "  tls.key: " + block(ending.key_pem()) + "---\n");
  reconciler_.work();
  first_ = served().identity->certificate;
  give_pair("second");
  reconciler_.work();
  reply(answer(Reason::ClientCertificateRejected));
  ASSERT_TRUE(serves_first());
  for (int i = 0; i < 100 && serves_first(); ++i) {
    advance(std::max(wait(), 1ms));
    reconciler_.work();
    if (asker_.questions.back().number != 0) {
      reconciler_.on_reply(Reply{asker_.questions.back().policy, asker_.questions.back().number,
                                 answer(Reason::ClientCertificateRejected)});
    }
  }
  reconciler_.work();

  EXPECT_FALSE(serves_first());
  EXPECT_GT(clock_.unix_now(), translate::testing::kNow + 60);
}

}  // namespace
}  // namespace handfast::preflight
