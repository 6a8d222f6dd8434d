#include "controller/translate/translate.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "controller/translate/annotation_table.h"
#include "proxy/config/text.h"
#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

std::string numbered_ingress(int number) {
  const std::string n = std::to_string(number);
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n"
         "metadata:\n  name: i" +
         n +
         "\n  namespace: shop\n  annotations:\n"
         "    nginx.ingress.kubernetes.io/backend-protocol: HTTPS\n"
         "    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/material\n"
         "spec:\n  ingressClassName: handfast\n  rules:\n  - host: h" +
         n +
         ".example\n"
         "    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: "
         "{number: 443}}}}]}\n";
}

std::string all_text(const Output& output) {
  std::string text;
  for (const config::Shard& shard : output.shards) text += config::serialize(shard);
  for (const auto& [path, bytes] : output.files) text += path + bytes;
  return text + report_text(output);
}

class TranslateTest : public ::testing::Test {
 protected:
  TranslateTest() {
    apply_yaml(state_, material_.fill(R"(
apiVersion: v1
kind: Secret
metadata: {name: material, namespace: shop}
stringData:
  tls.crt: ${CRT:client.example}
  tls.key: ${KEY:client.example}
  ca.crt: ${CA:backends}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 443}]}
)"));
    std::string many;
    for (int i = 0; i < 20; ++i) many += numbered_ingress(i);
    apply_yaml(state_, many);
  }

  MaterialSource material_;
  state::ClusterState state_;
};

TEST_F(TranslateTest, GivesTheSameBytesForTheSameInput) {
  const std::string first = all_text(translate(state_, {}, {}, kNow));
  const std::string again = all_text(translate(state_, {}, {}, kNow));

  EXPECT_EQ(first, again);
}

TEST_F(TranslateTest, PublishesASecretOfManyIngressesOnce) {
  const Output output = translate(state_, {}, {}, kNow);

  EXPECT_EQ(output.items.size(), 2U);  // the pair and the CA
  EXPECT_EQ(output.files.size(), 2U);
}

TEST_F(TranslateTest, SortsShardsByTheirNames) {
  const Output output = translate(state_, {}, {}, kNow);

  ASSERT_EQ(output.shards.size(), 41U);
  for (std::size_t i = 1; i < output.shards.size(); ++i) {
    EXPECT_LT(config::shard_name(output.shards[i - 1]), config::shard_name(output.shards[i]));
  }
}

TEST_F(TranslateTest, TellsWhatIsWrongWithASharedSecretOnce) {
  apply_yaml(state_, R"(
apiVersion: v1
kind: Secret
metadata: {name: material, namespace: shop}
stringData: {ca.crt: torn}
)");

  const Output output = translate(state_, {}, {}, kNow);

  int of_the_secret = 0;
  for (const Finding& finding : output.report) of_the_secret += finding.object.kind == "Secret";
  EXPECT_EQ(of_the_secret, 1);
}

TEST_F(TranslateTest, NeverPutsAKeyIntoShardsOrReport) {
  const Output output = translate(state_, {}, {}, kNow);

  std::string text = report_text(output);
  for (const config::Shard& shard : output.shards) text += config::serialize(shard);
  EXPECT_EQ(text.find("PRIVATE KEY"), std::string::npos);
}

TEST_F(TranslateTest, OneBadIngressChangesNoShardOfAnother) {
  const Output before = translate(state_, {}, {}, kNow);
  apply_yaml(state_, R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: bad
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-verify: maybe
    nginx.ingress.kubernetes.io/auth-type: basic
spec:
  ingressClassName: handfast
  tls: [{hosts: [bad.example], secretName: nobody}]
  rules:
  - host: bad.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}]}
)");

  const Output after = translate(state_, {}, {}, kNow);

  for (const config::Shard& shard : before.shards) {
    const config::Shard* same = find_shard(after, config::shard_name(shard));
    ASSERT_NE(same, nullptr) << config::shard_name(shard);
    EXPECT_EQ(*same, shard);
  }
}

TEST_F(TranslateTest, TellsWhichSecretsAndConfigMapsItAskedForThereOrNot) {
  apply_yaml(state_, material_.fill(R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: front
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/auth-tls-secret: shop/absent}
spec:
  ingressClassName: handfast
  tls: [{hosts: [front.example], secretName: front-tls}]
  rules:
  - host: front.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: nobodys, namespace: shop}
stringData: {ca.crt: ${CA:backends}}
)"));
  Options options;
  options.config_map = NamespacedName{"system", "settings"};
  options.crl_directory = "crls";

  const Output output = translate(state_, {}, options, kNow);

  const std::set<objects::ObjectKey> expected{{"ConfigMap", "system", "settings"},
                                              {"Secret", "shop", "absent"},
                                              {"Secret", "shop", "front-tls"},
                                              {"Secret", "shop", "material"}};
  EXPECT_EQ(output.references, expected);
}

// A text that only its reader refuses would take the whole host with it, and who else has a path of
// it.
TEST(Translate, WhateverAnAnnotationSaysTheProxyReadsTheHost) {
  state::ClusterState state;
  apply_yaml(state,
             numbered_ingress(0) +
                 "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n"
                 "spec: {ports: [{port: 443}]}\n");
  const objects::Ingress ingress = *state.find_ingress("shop", "i0");
  using namespace std::string_literals;
  const std::string values[] = {"a\0$remote_addr"s,      "CN=a\tb",         "\x7f",
                                "https://a.example/\0"s, "spiffe://a\nb/c", "\xff\xfe",
                                std::string(1000, 'x')};
  for (const AnnotationRow& row : annotation_table()) {
    if (row.what != AnnotationClass::Implemented) continue;
    for (const std::string& value : values) {
      objects::Ingress changed = ingress;
      changed.meta.annotations = {{std::string(kOwnPrefix).append(row.name), value}};
      state.apply(changed);
      for (const config::Shard& shard : translate(state, {}, {}, kNow).shards) {
        const auto read = config::parse_shard(config::serialize(shard));
        EXPECT_TRUE(read.has_value()) << row.name << ": " << read.error();
      }
    }
  }
}

TEST(Translate, OfNothingIsNothing) {
  const Output output = translate({}, {}, {}, kNow);

  EXPECT_TRUE(output.shards.empty());
  EXPECT_TRUE(output.files.empty());
  EXPECT_TRUE(output.items.empty());
  EXPECT_TRUE(output.report.empty());
}

}  // namespace
}  // namespace handfast::translate::testing
