#include "controller/translate/front_tls.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/controller/translate/support.h"

namespace handfast::translate {
namespace {

TEST(Covers, TakesAWildcardForExactlyOneLabel) {
  const std::vector<std::string> sans{"IP:10.0.0.1", "DNS:*.Shop.example"};

  EXPECT_TRUE(covers(sans, "a.shop.example"));
  EXPECT_FALSE(covers(sans, "shop.example"));
  EXPECT_FALSE(covers(sans, "a.b.shop.example"));
  EXPECT_FALSE(covers(sans, ".shop.example"));
  EXPECT_FALSE(covers(sans, "10.0.0.1"));
}

TEST(Covers, AWildcardHostIsCoveredByTheSameWildcardOnly) {
  EXPECT_TRUE(covers({"DNS:*.shop.example"}, "*.shop.example"));
  EXPECT_FALSE(covers({"DNS:a.shop.example"}, "*.shop.example"));
  EXPECT_FALSE(covers({"DNS:*.example"}, "*.shop.example"));
}

TEST(Covers, NothingCoversWithoutNames) { EXPECT_FALSE(covers({}, "shop.example")); }

using handfast::testing::KeyType;

class FrontTlsTest : public ::testing::Test {
 protected:
  FrontTlsTest() {
    testing::apply_yaml(state_, R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: handfast}
spec: {controller: handfast.dev/ingress-controller}
)");
  }

  void set_secret(const std::string& name, KeyType type, const std::string& ns = "shop") {
    const auto certificate = root_.issue("shop.example", {.key = type});
    objects::Secret secret;
    secret.meta.ns = ns;
    secret.meta.name = name;
    secret.data["tls.crt"].bytes = certificate.cert_pem();
    secret.data["tls.key"].bytes = certificate.key_pem();
    state_.apply(secret);
  }
  void break_secret(const std::string& name) {
    objects::Secret secret;
    secret.meta.ns = "shop";
    secret.meta.name = name;
    secret.data["tls.crt"].bytes = "torn";
    secret.data["tls.key"].bytes = "torn";
    state_.apply(secret);
  }
  // `created`: earlier ones decide.
  void set_ingress(const std::string& name, int created, const std::vector<std::string>& secrets,
                   const std::string& ns = "shop") {
    std::string tls;
    for (const std::string& secret : secrets) {
      tls += "  - {hosts: [shop.example], secretName: " + secret + "}\n";
    }
    testing::apply_yaml(state_,
                        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
                        "metadata: {name: " +
                            name + ", namespace: " + ns +
                            ", "
                            "creationTimestamp: \"2026-01-01T00:00:0" +
                            std::to_string(created) +
                            "Z\"}\nspec:\n  ingressClassName: handfast\n  tls:\n" + tls +
                            "  rules: [{host: shop.example}]\n");
  }

  // The Secrets of the host's certificates, the first first.
  std::vector<std::string> run() {
    output_ = translate(state_, last_good_, {}, testing::kNow);
    last_good_ = output_.items;
    const auto* host = testing::find_shard_as<config::VirtualHost>(output_, "host/shop.example");
    std::vector<std::string> secrets;
    if (host == nullptr || !host->certificate) return secrets;
    secrets.push_back(host->certificate->source);
    for (const auto& pair : host->more_certificates) secrets.push_back(pair.source);
    for (std::string& secret : secrets) secret.erase(0, std::string("Secret/shop/").size());
    EXPECT_FALSE(host->certificate_problem);
    return secrets;
  }
  using Secrets = std::vector<std::string>;

  handfast::testing::TestAuthority root_{"root"};
  state::ClusterState state_;
  LastGood last_good_;
  Output output_;
};

TEST_F(FrontTlsTest, UsesOneCertificateOfEachTypeOfKey) {
  set_secret("rsa", KeyType::Rsa2048);
  set_secret("ec", KeyType::P256);
  set_secret("other-rsa", KeyType::Rsa2048);
  set_ingress("all", 1, {"rsa", "ec", "other-rsa"});

  EXPECT_EQ(run(), (Secrets{"rsa", "ec"}));
}

TEST_F(FrontTlsTest, AddsThoseOfSeveralIngressesAndTellsOnesOfTheSameType) {
  set_secret("rsa", KeyType::Rsa2048);
  set_secret("ec", KeyType::P256);
  set_secret("other-ec", KeyType::P256);
  set_ingress("first", 1, {"ec"});
  set_ingress("second", 2, {"rsa"});
  set_ingress("third", 3, {"other-ec"});

  EXPECT_EQ(run(), (Secrets{"ec", "rsa"}));
  const std::string report = testing::report_text(output_);
  EXPECT_NE(report.find("Ingress shop/third: spec.tls[0].secretName: Ingress shop/first decided"),
            std::string::npos)
      << report;
  EXPECT_EQ(report.find("shop/second: spec.tls"), std::string::npos) << report;
}

TEST_F(FrontTlsTest, AnotherNamespaceAddsNothing) {
  set_secret("rsa", KeyType::Rsa2048);
  set_secret("ec", KeyType::P256, "thief");
  set_ingress("first", 1, {"rsa"});
  set_ingress("second", 2, {"ec"}, "thief");

  EXPECT_EQ(run(), Secrets{"rsa"});
  const std::string report = testing::report_text(output_);
  EXPECT_NE(report.find("Ingress thief/second: spec.tls[0].secretName: Ingress shop/first decided"),
            std::string::npos)
      << report;
}

TEST_F(FrontTlsTest, ServesWithTheCertificateThatIsGood) {
  set_secret("ec", KeyType::P256);
  break_secret("rsa");
  set_ingress("all", 1, {"rsa", "ec"});

  EXPECT_EQ(run(), Secrets{"ec"});
  const std::string report = testing::report_text(output_);
  EXPECT_NE(report.find("Secret shop/rsa can't be used"), std::string::npos) << report;
}

TEST_F(FrontTlsTest, KeepsBothWhileOneIsLastGood) {
  set_secret("rsa", KeyType::Rsa2048);
  set_secret("ec", KeyType::P256);
  set_ingress("first", 1, {"rsa"});
  set_ingress("second", 2, {"ec"});
  run();
  break_secret("rsa");

  EXPECT_EQ(run(), (Secrets{"rsa", "ec"}));
  EXPECT_EQ(run(), (Secrets{"rsa", "ec"}));
}

TEST_F(FrontTlsTest, ABadFirstOneIsNotReplacedByAnotherIngress) {
  break_secret("rsa");
  set_secret("ec", KeyType::P256);
  set_ingress("first", 1, {"rsa"});
  set_ingress("second", 2, {"ec"});

  EXPECT_EQ(run(), Secrets{});
}

}  // namespace
}  // namespace handfast::translate
