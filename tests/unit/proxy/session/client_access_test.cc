#include "proxy/session/client_access.h"

#include <gtest/gtest.h>

#include "proxy/tls/client_certificate.h"
#include "tests/support/test_authority.h"

namespace handfast::session {
namespace {

using testing::kYear2026;
using testing::TestAuthority;
using testing::TestCertificate;

class ClientAccessTest : public ::testing::Test {
 protected:
  ClientAccessTest() { policy_ = put_host("a.example", make_policy("a", root_)); }

  static std::shared_ptr<tls::ClientPolicy> make_policy(const std::string& key,
                                                        const TestAuthority& authority) {
    auto policy = std::make_shared<tls::ClientPolicy>();
    policy->key = key;
    policy->epoch = "epoch-1";
    policy->trust.push_back(*pki::CaBundle::load(authority.cert_pem(), kYear2026));
    policy->rules.purpose = pki::Purpose::Client;
    policy->rules.depth = 1;
    return policy;
  }
  std::shared_ptr<tls::ClientPolicy> put_host(const std::string& name,
                                              std::shared_ptr<tls::ClientPolicy> policy) {
    config::VirtualHost host;
    host.host = name;
    auto entry = std::make_shared<route::HostEntry>(host);
    entry->client = policy;
    auto& slot = snapshot_.buckets[route::snapshot_bucket(name)];
    auto bucket = slot == nullptr ? std::make_shared<route::SnapshotBucket>()
                                  : std::make_shared<route::SnapshotBucket>(*slot);
    bucket->hosts.put(std::move(entry));
    slot = std::move(bucket);
    return policy;
  }
  static std::shared_ptr<tls::ClientPolicy> newer(const tls::ClientPolicy& policy) {
    auto copy = std::make_shared<tls::ClientPolicy>();
    copy->key = policy.key;
    copy->epoch = "epoch-2";
    copy->trust = policy.trust;
    copy->rules = policy.rules;
    return copy;
  }

  // A connection whose handshake named a.example and brought this certificate, or none.
  void connect(const TestCertificate* leaf) {
    certificate_.emplace(policy_);
    if (leaf != nullptr) certificate_->show(leaf->x509(), nullptr, kYear2026);
    facts_.tls = true;
    facts_.server_name = "a.example";
    facts_.certificate = &*certificate_;
  }
  // "ok", or the status and the word.
  std::string ask(config::ClientVerify verify = config::ClientVerify::On,
                  std::string_view host = "a.example", UnixSeconds now = kYear2026) {
    config::Route route;
    route.client.emplace().verify = verify;
    return answer(route, host, now);
  }
  std::string answer(const config::Route& route, std::string_view host = "a.example",
                     UnixSeconds now = kYear2026) {
    const auto denied = deny_client(snapshot_, *snapshot_.find_host(host), route, facts_, now);
    if (!denied) return "ok";
    return std::to_string(denied->status) + ' ' + std::string(to_string(denied->reason));
  }

  TestAuthority root_{"clients"};
  TestAuthority other_{"others"};
  TestCertificate alice_ = root_.issue("alice", {.extended_key_usage = "clientAuth"});
  TestCertificate mallory_ = other_.issue("mallory", {.extended_key_usage = "clientAuth"});
  route::Snapshot snapshot_;
  std::shared_ptr<tls::ClientPolicy> policy_;
  std::optional<tls::ClientCertificate> certificate_;
  ClientFacts facts_;
};

using enum config::ClientVerify;

TEST(DenyByAddress, DeniesBeforeItAllows) {
  const auto ask = [](std::vector<std::string> denied, std::vector<std::string> allowed,
                      std::string_view address) {
    route::SourceRules rules;
    rules.denied = NetworkSet::parse(denied).value();
    if (!allowed.empty()) rules.allowed = NetworkSet::parse(allowed).value();
    const auto answer = deny_by_address(rules, address);
    return !answer ? "ok" : std::to_string(answer->status) + ' ' + std::string(answer->detail);
  };
  const std::string denied = "403 the client's address is in denylist-source-range";
  const std::string foreign = "403 the client's address is not in allowlist-source-range";

  EXPECT_EQ(ask({"10.1.0.0/16"}, {}, "10.2.0.1"), "ok");
  EXPECT_EQ(ask({"10.1.0.0/16"}, {}, "10.1.0.1"), denied);
  EXPECT_EQ(ask({"10.1.0.0/16"}, {}, "::ffff:10.1.0.1"), denied);
  EXPECT_EQ(ask({}, {"10.0.0.0/8", "2001:db8::/32"}, "10.9.9.9"), "ok");
  EXPECT_EQ(ask({}, {"10.0.0.0/8", "2001:db8::/32"}, "2001:db8::1"), "ok");
  EXPECT_EQ(ask({}, {"10.0.0.0/8", "2001:db8::/32"}, "11.0.0.1"), foreign);
  EXPECT_EQ(ask({"10.1.0.0/16"}, {"10.0.0.0/8"}, "10.1.0.1"), denied);
  EXPECT_EQ(ask({"10.1.0.0/16"}, {"10.0.0.0/8"}, "10.2.0.1"), "ok");
  for (const char* none : {"", "unix:", "10.0.0.1:80"}) EXPECT_NE(ask({"::1"}, {}, none), "ok");
}

TEST_F(ClientAccessTest, LetsInWhomTheModeLetsIn) {
  connect(&alice_);
  EXPECT_EQ(ask(On), "ok");
  EXPECT_EQ(ask(Optional), "ok");
  EXPECT_EQ(ask(OptionalNoCa), "ok");

  connect(nullptr);
  EXPECT_EQ(ask(On), "400 no_client_certificate");
  EXPECT_EQ(ask(Optional), "ok");
  EXPECT_EQ(ask(OptionalNoCa), "ok");

  connect(&mallory_);
  EXPECT_EQ(ask(On), "400 bad_client_certificate");
  EXPECT_EQ(ask(Optional), "400 bad_client_certificate");
  EXPECT_EQ(ask(OptionalNoCa), "ok");
}

TEST_F(ClientAccessTest, AnUnknownIssuerExcusesNothingElse) {
  const TestCertificate late =
      root_.issue("late", {.not_after = kYear2026 - 1, .extended_key_usage = "clientAuth"});
  connect(&late);

  EXPECT_EQ(ask(OptionalNoCa), "400 bad_client_certificate");
}

TEST_F(ClientAccessTest, AFilterAsksForSomebodyWhateverTheMode) {
  policy_->subject = *pki::CommonNamePattern::compile("CN=bob");
  connect(&alice_);
  EXPECT_EQ(ask(On), "403 name_mismatch");

  connect(nullptr);
  EXPECT_EQ(ask(On), "400 no_client_certificate");
  EXPECT_EQ(ask(Optional), "403 no_client_certificate");

  connect(&mallory_);
  EXPECT_EQ(ask(OptionalNoCa), "400 bad_client_certificate");
}

TEST_F(ClientAccessTest, AskedNothingIsServedNothing) {
  connect(&alice_);
  EXPECT_EQ(answer({}), "ok");

  facts_ = {};
  EXPECT_EQ(ask(), "400 no_client_certificate");  // without TLS
  facts_.tls = true;
  facts_.server_name = "b.example";
  EXPECT_EQ(ask(), "421 misdirected");
  EXPECT_EQ(answer({}), "421 misdirected");  // a route of the host that asks for nothing
}

TEST_F(ClientAccessTest, AConnectionIsWorthNothingUnderOtherRules) {
  put_host("b.example", make_policy("b", root_));
  put_host("twin.example", policy_);
  connect(&alice_);

  EXPECT_EQ(ask(On, "b.example"), "421 misdirected");
  EXPECT_EQ(ask(On, "twin.example"), "ok");
}

TEST_F(ClientAccessTest, IsJudgedAgainWhenTheRulesOfItsHostHaveChanged) {
  connect(&alice_);
  policy_ = put_host("a.example", make_policy("other-rules", other_));

  EXPECT_EQ(ask(), "400 bad_client_certificate");
  EXPECT_TRUE(certificate_->lost());
}

TEST_F(ClientAccessTest, IsJudgedAgainUnderANewList) {
  connect(&alice_);
  auto next = newer(*policy_);
  next->crls = {*pki::CrlSet::load(root_.crl_pem({&alice_}))};
  next->rules.crl_scope = pki::CrlScope::Chain;
  put_host("a.example", next);

  EXPECT_EQ(ask(), "400 bad_client_certificate");
  EXPECT_EQ(certificate_->policy(), next);
}

TEST_F(ClientAccessTest, IsJudgedAgainWhenItsTimeIsOver) {
  const TestCertificate brief =
      root_.issue("brief", {.not_after = kYear2026 + 60, .extended_key_usage = "clientAuth"});
  connect(&brief);

  EXPECT_EQ(ask(On, "a.example", kYear2026 + 60), "ok");
  EXPECT_EQ(ask(On, "a.example", kYear2026 + 61), "400 bad_client_certificate");
}

TEST_F(ClientAccessTest, NobodyGetsInWithoutAnAuthority) {
  connect(&alice_);
  config::Route route;
  route.client.emplace().refused = config::Refusal{Reason::CaMissing, "there is none"};
  EXPECT_EQ(answer(route), "403 ca_missing");

  policy_->refused = Error{Reason::BadCa, "torn"};
  EXPECT_EQ(ask(), "403 bad_ca");
  put_host("a.example", nullptr);
  EXPECT_EQ(ask(), "403 internal");
}

TEST_F(ClientAccessTest, TellsTheServiceOfRoutesThatAskAlone) {
  connect(&alice_);
  config::Route route;
  EXPECT_TRUE(certificate_fields(route, facts_).verify.empty());

  route.client.emplace();
  EXPECT_EQ(certificate_fields(route, facts_).verify, "SUCCESS");
  EXPECT_EQ(certificate_fields(route, facts_).subject, "CN=alice");
  EXPECT_TRUE(certificate_fields(route, facts_).certificate.empty());

  route.client->pass_certificate = true;
  EXPECT_FALSE(certificate_fields(route, facts_).certificate.empty());
}

}  // namespace
}  // namespace handfast::session
