// What was good stays in use while the object's content is bad, item by item, and not a moment
// longer than that.

#include <gtest/gtest.h>

#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

constexpr const char* kIngress = R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: orders
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/material
spec:
  ingressClassName: handfast
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 443}]}
)";

constexpr const char* kPolicy = "tls/shop/orders/api:443";

class LastGoodTest : public ::testing::Test {
 protected:
  LastGoodTest() { apply_yaml(state_, kIngress); }

  // The Secret with these keys, "key: value" lines.
  void set_secret(const std::string& keys) {
    apply_yaml(state_, material_.fill("apiVersion: v1\nkind: Secret\n"
                                      "metadata: {name: material, namespace: shop}\n"
                                      "stringData:\n" +
                                      keys));
  }

  // As the controller does: what an acknowledged output used is the last good of the next.
  Output run(std::int64_t now = kNow) {
    Output output = translate(state_, last_good_, {}, now);
    last_good_ = output.items;
    return output;
  }

  static std::string good_pair() {
    return "  tls.crt: ${CRT:client.example}\n  tls.key: ${KEY:client.example}\n";
  }

  static const config::UpstreamTls& policy(const Output& output) {
    static const config::UpstreamTls kNone;
    const auto* found = find_shard_as<config::UpstreamTls>(output, kPolicy);
    EXPECT_NE(found, nullptr);
    return found == nullptr ? kNone : *found;
  }

  static ItemKey item(ItemKind kind) { return {"Secret", "shop", "material", kind}; }

  MaterialSource material_;
  state::ClusterState state_;
  LastGood last_good_;
};

TEST_F(LastGoodTest, KeepsTheBadItemAloneAndTakesTheOthers) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n  ca.crl: ${CRL:backends}\n");
  const config::UpstreamTls before = policy(run());

  set_secret(
      "  tls.crt: ${CRT:client.example}\n  tls.key: ${KEY:other.example}\n"
      "  ca.crt: ${CA:new-backends}\n  ca.crl: torn\n");
  const Output output = run(kNow + 60);
  const config::UpstreamTls after = policy(output);

  EXPECT_FALSE(after.refused.has_value());
  EXPECT_EQ(after.identity, before.identity);
  EXPECT_EQ(after.crl, before.crl);
  EXPECT_NE(after.ca, before.ca);
  EXPECT_EQ(output.items.at(item(ItemKind::KeyPair)).bad_since, kNow + 60);
  EXPECT_EQ(output.items.at(item(ItemKind::Ca)).bad_since, 0);
  // Last good files are on disk already; only the new CA has to be written.
  ASSERT_EQ(output.files.size(), 1U);
  EXPECT_EQ(output.files.begin()->first, after.ca.at(0).path);
  EXPECT_NE(report_text(output).find("warning: Secret shop/material: data[tls.key]"),
            std::string::npos)
      << report_text(output);
}

TEST_F(LastGoodTest, KeepsTheTwoFilesOfAPairThatAVersionBeforePublished) {
  last_good_[item(ItemKind::KeyPair)] = {.directory = "tls/shop/material/0123456789abcdef",
                                         .form = PairForm::TwoFiles};
  set_secret("  tls.crt: torn\n  tls.key: torn\n  ca.crt: ${CA:backends}\n");

  const config::UpstreamTls bad = policy(run());

  ASSERT_TRUE(bad.identity.has_value());
  EXPECT_EQ(bad.identity->certificate, "tls/shop/material/0123456789abcdef/tls.crt");
  EXPECT_EQ(bad.identity->key, "tls/shop/material/0123456789abcdef/tls.key");

  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  const config::UpstreamTls good = policy(run());

  ASSERT_TRUE(good.identity.has_value());
  EXPECT_TRUE(good.identity->key.ends_with("/tls.pem")) << good.identity->key;
  EXPECT_EQ(good.identity->certificate, good.identity->key);
}

// The two halves make the same file, and are no pair.
TEST_F(LastGoodTest, KeepsAPairThatIsCutAtAnotherPlace) {
  const handfast::testing::TestAuthority root{"root"};
  const auto leaf = root.issue("client.example");
  const auto set_pair = [this, &root](const std::string& certificate, const std::string& key) {
    objects::Secret secret;
    secret.meta.ns = "shop";
    secret.meta.name = "material";
    secret.data["tls.crt"].bytes = certificate;
    secret.data["tls.key"].bytes = key;
    secret.data["ca.crt"].bytes = root.cert_pem();
    state_.apply(secret);
  };
  set_pair(leaf.cert_pem() + root.cert_pem(), leaf.key_pem());
  const config::UpstreamTls before = policy(run());
  ASSERT_TRUE(before.identity.has_value());

  set_pair(leaf.cert_pem(), root.cert_pem() + leaf.key_pem());
  const Output output = run(kNow + 60);

  EXPECT_EQ(policy(output).identity, before.identity);
  EXPECT_EQ(output.items.at(item(ItemKind::KeyPair)).bad_since, kNow + 60);
}

TEST_F(LastGoodTest, RemembersSinceWhenItIsBadAndForgetsItOnceGood) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  run();
  set_secret(good_pair() + "  ca.crt: torn\n");
  run(kNow + 60);
  set_secret(good_pair() + "  ca.crt: torn otherwise\n");
  EXPECT_EQ(run(kNow + 120).items.at(item(ItemKind::Ca)).bad_since, kNow + 60);

  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  const Output output = run(kNow + 180);

  EXPECT_EQ(output.items.at(item(ItemKind::Ca)).bad_since, 0);
  EXPECT_EQ(report_text(output).find("ca.crt"), std::string::npos) << report_text(output);
}

TEST_F(LastGoodTest, AnEmptyKeyIsBadAndKeepsTheLastGood) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n  ca.crl: ${CRL:backends}\n");
  const config::UpstreamTls before = policy(run());

  set_secret(good_pair() + "  ca.crt: \"\"\n  ca.crl: \"\"\n");

  const Output output = run();
  EXPECT_EQ(policy(output), before);
}

TEST_F(LastGoodTest, ACaThatIsGoneRefusesAtOnce) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  run();

  set_secret(good_pair());
  const Output output = run();

  ASSERT_TRUE(policy(output).refused.has_value());
  EXPECT_EQ(policy(output).refused->reason, Reason::CaMissing);
  EXPECT_TRUE(policy(output).ca.empty());
  EXPECT_FALSE(output.items.contains(item(ItemKind::Ca)));
}

TEST_F(LastGoodTest, ASecretThatIsGoneRefusesAtOnce) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  run();

  state_.remove({"Secret", "shop", "material"});
  const Output output = run();

  ASSERT_TRUE(policy(output).refused.has_value());
  EXPECT_EQ(policy(output).refused->reason, Reason::SecretMissing);
  EXPECT_TRUE(output.items.empty());
  EXPECT_TRUE(output.files.empty());
}

TEST_F(LastGoodTest, AfterGoneABadItemHasNothingToFallBackOn) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  run();
  set_secret(good_pair());
  run();

  set_secret(good_pair() + "  ca.crt: torn\n");
  const Output output = run();

  ASSERT_TRUE(policy(output).refused.has_value());
  EXPECT_EQ(policy(output).refused->reason, Reason::BadCa);
}

TEST_F(LastGoodTest, ACrlThatDisappearsServesOnWithAWarning) {
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n  ca.crl: ${CRL:backends}\n");
  run();

  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  const Output output = run();

  EXPECT_FALSE(policy(output).refused.has_value());
  EXPECT_EQ(policy(output).revocation, config::RevocationScope::Off);
  EXPECT_NE(report_text(output).find("lost its ca.crl"), std::string::npos) << report_text(output);
}

TEST_F(LastGoodTest, ABadFrontCertificateKeepsTheLastGoodOne) {
  apply_yaml(state_, R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, namespace: shop}
spec:
  ingressClassName: handfast
  tls: [{hosts: [front.example], secretName: material}]
  rules: [{host: front.example}]
)");
  set_secret(good_pair() + "  ca.crt: ${CA:backends}\n");
  const auto before = find_shard_as<config::VirtualHost>(run(), "host/front.example")->certificate;
  ASSERT_TRUE(before.has_value());

  set_secret("  tls.crt: torn\n  tls.key: torn\n  ca.crt: ${CA:backends}\n");
  const Output output = run();
  const auto* host = find_shard_as<config::VirtualHost>(output, "host/front.example");

  ASSERT_NE(host, nullptr);
  EXPECT_EQ(host->certificate, before);
  EXPECT_FALSE(host->certificate_problem.has_value());
}

TEST_F(LastGoodTest, AnAuthorityThatExpiredIsNotItsOwnLastGood) {
  handfast::testing::CertificateOptions options;
  options.not_after = kNow + 60;
  const handfast::testing::TestAuthority authority{"short", options};
  objects::Secret secret;
  secret.meta.ns = "shop";
  secret.meta.name = "material";
  secret.data["ca.crt"].bytes = authority.cert_pem();
  state_.apply(secret);
  ASSERT_FALSE(policy(run()).refused.has_value());

  const Output output = run(kNow + 120);

  ASSERT_TRUE(policy(output).refused.has_value());
  EXPECT_EQ(policy(output).refused->reason, Reason::BadCa);
}

}  // namespace
}  // namespace handfast::translate::testing
