// What policies refer to beyond a plain Secret: keys under a passphrase, PKCS#12, lists in parts,
// and what is kept of them when they turn bad.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "proxy/config/text.h"
#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

constexpr const char* kShop = R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: orders, namespace: shop}
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
---
apiVersion: v1
kind: ConfigMap
metadata: {name: roots, namespace: shop}
data: {ca.crt: ${CA:backends}}
)";

constexpr const char* kMutual = R"(
apiVersion: handfast.dev/v1alpha1
kind: UpstreamTLSPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{name: api}]
  mode: ClientAndServer
  clientCertificateRef: {name: client}
  privateKeyPassphraseRef: {name: pass}
  validation:
    hostname: api.example
    caCertificateRefs: [{kind: ConfigMap, name: roots}]
)";

constexpr const char* kThreeParts = R"(
apiVersion: handfast.dev/v1alpha1
kind: UpstreamTLSPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{name: api}]
  validation:
    hostname: api.example
    caCertificateRefs: [{kind: ConfigMap, name: roots}]
    revocation:
      crlRefs:
      - {kind: Secret, name: whole}
      - {kind: Secret, name: part-1}
      - {kind: Secret, name: part-2, key: rest}
)";

constexpr const char* kBundle = R"(
apiVersion: handfast.dev/v1alpha1
kind: UpstreamTLSPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{name: api}]
  validation:
    hostname: api.example
    caCertificateRefs: [{kind: Secret, name: bundle}, {kind: Secret, name: more}]
)";

constexpr const char* kPolicy = "tls/shop/orders@utls/api:443";

class PolicyMaterialTest : public ::testing::Test {
 protected:
  PolicyMaterialTest() : client_(authority_.issue("client.example")) {
    apply_yaml(state_, material_.fill(kShop));
  }

  void set_secret(std::string name, std::string key, std::string bytes) {
    objects::Secret secret;
    if (const auto* old = state_.find_secret("shop", name)) secret = *old;
    secret.meta.ns = "shop";
    secret.meta.name = std::move(name);
    secret.data[std::move(key)].bytes = std::move(bytes);
    state_.apply(secret);
  }

  // As the controller does: what an acknowledged output used is the last good of the next.
  config::UpstreamTls run() {
    output_ = translate(state_, last_good_, {}, kNow);
    last_good_ = output_.items;
    const auto* found = find_shard_as<config::UpstreamTls>(output_, kPolicy);
    EXPECT_NE(found, nullptr);
    return found == nullptr ? config::UpstreamTls{} : *found;
  }

  // What a restarted controller finds of last good items in its generation.
  static LastGood read_back(const config::UpstreamTls& tls) {
    LastGood items;
    if (tls.identity) {
      const auto& path = tls.identity->certificate;
      items[*find_key(*tls.identity)] = {.directory = path.substr(0, path.rfind('/')),
                                         .passphrases = tls.identity->passphrases,
                                         .form = form_of(*tls.identity)};
    }
    for (const auto& file : tls.ca) {
      items[*find_key(file, ItemKind::Ca)] = {.directory =
                                                  file.path.substr(0, file.path.rfind('/'))};
    }
    for (const auto& file : tls.crl) {
      items[*find_key(file, ItemKind::Crl)] = {.directory =
                                                   file.path.substr(0, file.path.rfind('/'))};
    }
    return items;
  }

  MaterialSource material_;
  handfast::testing::TestAuthority authority_{"issuer"};
  handfast::testing::TestCertificate client_;
  state::ClusterState state_;
  LastGood last_good_;
  Output output_;
};

TEST_F(PolicyMaterialTest, OpensAKeyWithOneOfSeveralPassphrases) {
  apply_yaml(state_, kMutual);
  set_secret("client", "tls.crt", client_.cert_pem());
  set_secret("client", "tls.key", client_.encrypted_key_pem("new"));
  set_secret("pass", "passphrase", "old\nnew\n");

  const config::UpstreamTls tls = run();

  EXPECT_FALSE(tls.refused) << tls.refused->detail;
  ASSERT_TRUE(tls.identity);
  // The files go to the proxy as they are: the key stays encrypted.
  EXPECT_NE(output_.files.at(tls.identity->key).find("ENCRYPTED"), std::string::npos);
  EXPECT_TRUE(tls.identity->passphrases.starts_with("tls/shop/pass/"));
  EXPECT_TRUE(tls.identity->passphrases.ends_with("/passphrase"));
  EXPECT_EQ(output_.files.at(tls.identity->passphrases), "old\nnew\n");
  EXPECT_TRUE(config::validate(config::Shard{tls}).has_value());
  EXPECT_EQ(read_back(tls), output_.items);
}

TEST_F(PolicyMaterialTest, RefusesAKeyThatNoPassphraseOpens) {
  apply_yaml(state_, kMutual);
  set_secret("client", "tls.crt", client_.cert_pem());
  set_secret("client", "tls.key", client_.encrypted_key_pem("secret"));
  set_secret("pass", "passphrase", "other");

  const config::UpstreamTls tls = run();

  ASSERT_TRUE(tls.refused);
  EXPECT_EQ(tls.refused->reason, Reason::Passphrase);
  EXPECT_NE(report_text(output_).find("ResolvedRefs: PassphraseInvalid"), std::string::npos);
}

TEST_F(PolicyMaterialTest, RefusesPassphrasesThatAreNotThere) {
  apply_yaml(state_, kMutual);
  set_secret("client", "tls.crt", client_.cert_pem());
  set_secret("client", "tls.key", client_.encrypted_key_pem("secret"));
  set_secret("pass", "other", "secret");

  const config::UpstreamTls tls = run();

  ASSERT_TRUE(tls.refused);
  EXPECT_EQ(tls.refused->reason, Reason::SecretMissing);
}

TEST_F(PolicyMaterialTest, AWrongPassphraseKeepsThePairWithTheOldOne) {
  apply_yaml(state_, kMutual);
  set_secret("client", "tls.crt", client_.cert_pem());
  set_secret("client", "tls.key", client_.encrypted_key_pem("secret"));
  set_secret("pass", "passphrase", "secret");
  const config::UpstreamTls before = run();

  set_secret("pass", "passphrase", "mistyped");

  EXPECT_EQ(run(), before);
  EXPECT_NE(report_text(output_).find("Programmed: LastKnownGood"), std::string::npos);
}

TEST_F(PolicyMaterialTest, TakesPkcs12UnderEitherNameButOnlyWithPassphrases) {
  apply_yaml(state_, kMutual);
  set_secret("client", "keystore.p12", client_.pkcs12("secret"));
  set_secret("pass", "passphrase", "secret");

  const config::UpstreamTls tls = run();

  ASSERT_FALSE(tls.refused) << tls.refused->detail;
  EXPECT_TRUE(tls.identity->certificate.ends_with("/tls.p12"));
  EXPECT_EQ(tls.identity->certificate, tls.identity->key);
  EXPECT_EQ(read_back(tls), output_.items);

  set_secret("client", "keystore.p12", "torn");
  EXPECT_EQ(run(), tls);

  std::string without(kMutual);
  without.erase(without.find("  privateKeyPassphraseRef"),
                std::string_view("  privateKeyPassphraseRef: {name: pass}\n").size());
  apply_yaml(state_, without);
  EXPECT_EQ(run().refused.value_or(config::Refusal{}).reason, Reason::Passphrase);
  EXPECT_NE(report_text(output_).find("holds PKCS#12, and there is no passphrase"),
            std::string::npos);
}

TEST_F(PolicyMaterialTest, TellsOfAClientCertificateInPkcs12ThatIsForServersAlone) {
  apply_yaml(state_, kMutual);
  set_secret(
      "client", "tls.p12",
      authority_.issue("client.example", {.extended_key_usage = "serverAuth"}).pkcs12("secret"));
  set_secret("pass", "passphrase", "secret");

  const config::UpstreamTls tls = run();

  EXPECT_FALSE(tls.refused) << tls.refused->detail;
  const std::string report = report_text(output_);
  EXPECT_NE(report.find("warning: UpstreamTLSPolicy shop/orders: spec.clientCertificateRef: The "
                        "certificate's extendedKeyUsage has no clientAuth"),
            std::string::npos)
      << report;
  EXPECT_NE(report.find("[wrong_purpose, CredentialsHealthy: WrongPurpose]"), std::string::npos)
      << report;
}

TEST_F(PolicyMaterialTest, NamesAnAuthorityThatIsNotValidYetAndBelievesTheOthers) {
  const handfast::testing::TestAuthority next{"next", {.not_before = kNow + 1}};
  apply_yaml(state_, kBundle);
  set_secret("bundle", "ca.crt", authority_.cert_pem() + next.cert_pem());
  set_secret("more", "ca.crt", authority_.cert_pem());

  const config::UpstreamTls tls = run();

  EXPECT_FALSE(tls.refused) << tls.refused->detail;
  EXPECT_EQ(tls.ca.size(), 2U);
  const std::string report = report_text(output_);
  EXPECT_NE(report.find("ResolvedRefs: PartiallyInvalidCertificateRef"), std::string::npos)
      << report;
  EXPECT_NE(report.find("entry 2 (CN=next): is valid only from"), std::string::npos) << report;
}

TEST_F(PolicyMaterialTest, TakesTenMebibytesOfAuthoritiesAndNoMore) {
  constexpr std::size_t kHalf = std::size_t{5} << 20;
  apply_yaml(state_, kBundle);
  std::string half = authority_.cert_pem();
  while (half.size() < kHalf) half += '\n';
  set_secret("bundle", "ca.crt", half);
  set_secret("more", "ca.crt", half);
  EXPECT_FALSE(run().refused);

  set_secret("more", "ca.crt", half + '\n');

  EXPECT_EQ(run().refused.value_or(config::Refusal{}).reason, Reason::BadCa);
}

TEST_F(PolicyMaterialTest, TellsOfAListBeforeItEnds) {
  constexpr std::int64_t kTime = 400;
  apply_yaml(state_,
             std::string(kBundle) + "    revocation: {crlRefs: [{kind: Secret, name: list}]}\n");
  set_secret("bundle", "ca.crt", authority_.cert_pem());
  set_secret("more", "ca.crt", authority_.cert_pem());
  const auto report_at = [&](std::int64_t elapsed) {
    set_secret("list", "ca.crl",
               authority_.crl_pem(
                   {}, {.this_update = kNow - elapsed, .next_update = kNow - elapsed + kTime}));
    EXPECT_FALSE(run().refused);
    return report_text(output_);
  };

  EXPECT_EQ(report_at(kTime * 3 / 4 - 1).find("list"), std::string::npos);
  EXPECT_NE(report_at(kTime * 3 / 4).find("Less than a quarter"), std::string::npos);
  EXPECT_NE(report_at(kTime + 1).find("The list's nextUpdate was"), std::string::npos);
}

TEST_F(PolicyMaterialTest, JoinsAListThatStandsInParts) {
  apply_yaml(state_, kThreeParts);
  const std::string crl = authority_.crl_pem();
  set_secret("whole", "crl.pem", handfast::testing::TestAuthority{"others"}.crl_pem());
  set_secret("part-1", "ca.crl", crl.substr(0, crl.size() / 2));
  set_secret("part-2", "rest", crl.substr(crl.size() / 2));

  const config::UpstreamTls tls = run();

  ASSERT_FALSE(tls.refused) << tls.refused->detail;
  ASSERT_EQ(tls.crl.size(), 2U);
  EXPECT_EQ(tls.crl[0].source, "Secret/shop/whole/crl.pem");
  EXPECT_EQ(tls.crl[1].source, "Secret/shop/part-1+Secret/shop/part-2/rest");
  EXPECT_EQ(output_.files.at(tls.crl[1].path), crl);
  EXPECT_EQ(report_text(output_).find("Secret shop/part"), std::string::npos)
      << report_text(output_);
  EXPECT_EQ(read_back(tls), output_.items);

  // One part is replaced before the other: together they are bad, and what was good serves on.
  set_secret("part-1", "ca.crl", authority_.crl_pem({&client_}).substr(0, crl.size() / 2));
  EXPECT_EQ(run(), tls);

  state_.remove({"Secret", "shop", "part-2"});
  EXPECT_EQ(run().refused.value_or(config::Refusal{}).reason, Reason::CrlMissing);
}

TEST(ItemKeys, AreFoundAgainInWhatTheProxyIsTold) {
  for (const ItemKey& key :
       {ItemKey{"Secret", "shop", "a", ItemKind::Crl},
        ItemKey{"ConfigMap", "shop", "a.b", ItemKind::Ca, "bundle.pem"},
        ItemKey{"ClusterTrustBundle", "", "example.com:mesh:roots", ItemKind::Ca},
        ItemKey{"Secret", "shop", "a", ItemKind::Crl, "", "", {"ConfigMap/shop/b/c"}}}) {
    const config::FileRef file{"tls/x/y/0123456789abcdef/ca.crt", source_text(key)};
    EXPECT_EQ(find_key(file, key.item), key) << file.source;
  }
}

}  // namespace
}  // namespace handfast::translate::testing
