#include "proxy/server/snapshot_builder.h"

#include <gtest/gtest.h>

#include "tests/support/times.h"
#include "tests/unit/proxy/server/state_directory.h"

namespace handfast::server {
namespace {

class PolicyTest : public ::testing::Test {
 protected:
  std::shared_ptr<const tls::UpstreamPolicy> make(const config::UpstreamTls& tls) {
    auto policy = make_policy(tls, materials_, rejection_);
    EXPECT_TRUE(policy) << policy.error();
    return policy ? *policy : nullptr;
  }
  // A change of one field must change the key and nothing else may.
  void expect_other_key(const config::UpstreamTls& changed, const char* what) {
    EXPECT_NE(make(changed)->key, make(app_.tls)->key) << what;
  }

  handfast::testing::FakeClock clock_;
  handfast::testing::StateDirectory state_;
  handfast::testing::TestAuthority root_{"root"};
  Materials materials_{state_.path(), clock_};
  RouteMetrics metrics_{1};
  config::Rejection rejection_;
  handfast::testing::App app_ = handfast::testing::make_app(state_, "orders", root_);
};

TEST_F(PolicyTest, TheSameRulesHaveTheSameKeyAndEpochUnderWhateverName) {
  config::UpstreamTls other = app_.tls;
  other.name = "shop/other/orders:443";

  EXPECT_EQ(make(other)->key, make(app_.tls)->key);
  EXPECT_EQ(make(other)->epoch, make(app_.tls)->epoch);
}

TEST_F(PolicyTest, ANewCrlHasTheSameKeyAndANewEpoch) {
  config::UpstreamTls tls = app_.tls;
  tls.revocation = config::RevocationScope::Chain;
  tls.crl = {state_.put_file("orders", "ca.crl", root_.crl_pem())};
  const auto before = make(tls);
  tls.crl = {state_.put_file("orders", "ca.crl", root_.crl_pem({}, {.number = 2}))};
  const auto after = make(tls);

  EXPECT_EQ(after->key, before->key);
  EXPECT_NE(after->epoch, before->epoch);
  EXPECT_EQ(after->rules.crl_scope, pki::CrlScope::Chain);
}

TEST_F(PolicyTest, ANewCaOfTheSameSourceHasTheSameKeyAndANewEpoch) {
  const auto before = make(app_.tls);
  const handfast::testing::TestAuthority next("next");
  app_.tls.ca = {state_.put_file("orders", "ca.crt", root_.cert_pem() + next.cert_pem())};
  const auto after = make(app_.tls);

  EXPECT_EQ(after->key, before->key);
  EXPECT_NE(after->epoch, before->epoch);
}

TEST_F(PolicyTest, EveryRuleIsPartOfTheKey) {
  const auto changed = [this](auto change) {
    config::UpstreamTls tls = app_.tls;
    change(tls);
    return tls;
  };
  using Tls = config::UpstreamTls;
  expect_other_key(changed([this](Tls& t) {
                     t.identity = state_.put_pair("orders", root_.issue("client-orders"));
                   }),
                   "identity");
  expect_other_key(changed([](Tls& t) { t.identity.reset(); }), "no identity");
  expect_other_key(changed([](Tls& t) { t.identity->source = "Secret/shop/b"; }), "source");
  expect_other_key(changed([](Tls& t) { t.ca[0].source = "ConfigMap/shop/b"; }), "CA source");
  expect_other_key(changed([](Tls& t) { t.ca.push_back(t.ca[0]); }), "CA list");
  expect_other_key(changed([](Tls& t) { t.verify = false; }), "verify");
  expect_other_key(changed([](Tls& t) { t.verify_depth = 1; }), "depth");
  expect_other_key(changed([](Tls& t) { t.names = {"other.shop.svc"}; }), "names");
  expect_other_key(changed([](Tls& t) { t.names.push_back("b"); }), "more names");
  expect_other_key(changed([](Tls& t) { t.sni = "orders.shop.svc"; }), "SNI");
  expect_other_key(changed([](Tls& t) { t.versions = {config::TlsVersion::Tls13}; }), "versions");
  expect_other_key(changed([](Tls& t) { t.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"; }), "ciphers");
  expect_other_key(changed([](Tls& t) { t.cipher_suites = "TLS_AES_128_GCM_SHA256"; }), "suites");
  expect_other_key(changed([](Tls& t) { t.allow_without_crl = true; }), "without CRL");
  expect_other_key(changed([](Tls& t) { t.audit_until = 1; }), "audit");
  expect_other_key(changed([](Tls& t) { t.ocsp = config::Ocsp::Require; }), "OCSP");
  expect_other_key(changed([](Tls& t) { t.groups = "X25519"; }), "groups");
  expect_other_key(changed([](Tls& t) { t.resumption = false; }), "resumption");
  expect_other_key(changed([](Tls& t) { t.require_certificate_request = true; }), "request");
  expect_other_key(
      changed([](Tls& t) { t.pins = {{config::PinType::Spki, std::string(64, 'a')}}; }), "pins");
  expect_other_key(changed([this](Tls& t) {
                     t.revocation = config::RevocationScope::Leaf;
                     t.crl = {state_.put_file("orders", "ca.crl", root_.crl_pem())};
                   }),
                   "CRL");
}

// Two lists that read alike when put one after the other.
TEST_F(PolicyTest, FieldsOfAKeyCannotRunIntoEachOther) {
  config::UpstreamTls one = app_.tls;
  one.names = {"a", "b"};
  config::UpstreamTls two = app_.tls;
  two.names = {"a;name b"};

  EXPECT_NE(make(one)->key, make(two)->key);
}

TEST_F(PolicyTest, ARefusedOneLoadsNothing) {
  app_.tls.refused = config::Refusal{Reason::SecretMissing, "Secret shop/orders is missing"};
  app_.tls.identity->certificate = "tls/shop/none/0000000000000000/tls.crt";

  EXPECT_EQ(make(app_.tls)->refused->reason, Reason::SecretMissing);
}

TEST_F(PolicyTest, CiphersThatLowerTheSecurityLevelAreRejected) {
  app_.tls.ciphers = "ALL:@SECLEVEL=0";

  EXPECT_FALSE(make_policy(app_.tls, materials_, rejection_));
  EXPECT_EQ(rejection_.field, "ciphers");
}

TEST_F(PolicyTest, UnknownSuitesAndGroupsAreRejected) {
  app_.tls.cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_NONE";
  EXPECT_FALSE(make_policy(app_.tls, materials_, rejection_));
  EXPECT_EQ(rejection_.field, "cipher_suites");
  app_.tls.cipher_suites.clear();
  app_.tls.groups = "X25519:P-255";
  EXPECT_FALSE(make_policy(app_.tls, materials_, rejection_));
  EXPECT_EQ(rejection_.field, "groups");
}

TEST_F(PolicyTest, APinAloneNeedsNoCaAndTakesNoRevocation) {
  app_.tls.ca.clear();
  app_.tls.names.clear();
  app_.tls.pin_only = true;
  app_.tls.pins = {{config::PinType::Certificate, std::string(64, 'a')}};
  EXPECT_TRUE(make(app_.tls)->rules.pin_only);
  EXPECT_EQ(make(app_.tls)->rules.pins.size(), 1u);
  app_.tls.crl = {state_.put_file("orders", "ca.crl", root_.crl_pem())};
  app_.tls.revocation = config::RevocationScope::Chain;

  EXPECT_FALSE(make_policy(app_.tls, materials_, rejection_));
  EXPECT_EQ(rejection_.field, "pin_only");
}

// How long connections live isn't who they are: a change of it costs no reconnect.
TEST_F(PolicyTest, LimitsOfAgeAreNoPartOfTheKey) {
  config::UpstreamTls tls = app_.tls;
  tls.max_age_ms = 1000;
  tls.drain_ms = 0;
  const auto policy = make(tls);

  EXPECT_EQ(policy->key, make(app_.tls)->key);
  EXPECT_EQ(policy->max_age, std::chrono::seconds(1));
  EXPECT_EQ(policy->drain, std::chrono::milliseconds(0));
  EXPECT_FALSE(make(app_.tls)->drain);
}

TEST(RefuseShard, AnswersWithTheReasonOfTheRejection) {
  config::Service service;
  service.name = "shop/a:80";
  service.endpoints = {{"10.0.0.1", 80, true, true, false}};
  config::Rejection rejection;
  rejection.reason = Reason::BadCa;
  rejection.detail = "no";
  const auto refused = std::get<config::Service>(refuse(service, rejection));

  EXPECT_EQ(refused.refused->reason, Reason::BadCa);
  EXPECT_TRUE(refused.endpoints.empty());
}

class SnapshotBuilderTest : public PolicyTest {};

TEST_F(SnapshotBuilderTest, UsesReadyEndpointsAndThoseThatEndOnlyWithoutAny) {
  const auto addresses = [this](std::vector<config::Endpoint> endpoints) {
    config::Service service = app_.service;
    service.endpoints = std::move(endpoints);
    SnapshotBuilder builder(nullptr, materials_, metrics_);
    EXPECT_TRUE(builder.put(service, rejection_));
    std::vector<std::string> ips;
    const Publication made = builder.finish(1);
    for (const auto& address : made.snapshot->find_service(service.name)->addresses) {
      ips.push_back(address.ip());
    }
    return ips;
  };
  using Ips = std::vector<std::string>;
  const config::Endpoint ready{"10.0.0.1", 80, true, true, false};
  const config::Endpoint ending{"10.0.0.2", 80, false, true, true};
  const config::Endpoint starting{"10.0.0.3", 80, false, false, false};

  EXPECT_EQ(addresses({ready, ending, starting}), Ips{"10.0.0.1"});
  EXPECT_EQ(addresses({ending, starting}), Ips{"10.0.0.2"});
  EXPECT_EQ(addresses({starting}), Ips{});
}

TEST_F(SnapshotBuilderTest, AFrontCertificateThatCannotBeHadLeavesTheHostServed) {
  app_.host.certificate = state_.put_pair("front", root_.issue("orders.example"));
  app_.host.certificate->key = app_.host.certificate->certificate;
  SnapshotBuilder builder(nullptr, materials_, metrics_);
  EXPECT_TRUE(builder.put(app_.host, rejection_));
  const Publication made = builder.finish(1);
  const route::HostEntry* host = made.snapshot->find_host("orders.example");

  EXPECT_TRUE(host->certificates.empty());
  EXPECT_EQ(host->config.certificate_problem->reason, Reason::FrontCertificate);
}

}  // namespace
}  // namespace handfast::server
