#include "controller/translate/operator_crls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/controller/translate/support.h"

namespace handfast::translate {
namespace {

using config::RevocationScope;
using testing::apply_yaml;
using testing::find_shard_as;
using ::testing::HasSubstr;
using testing::kNow;
using testing::MaterialSource;

constexpr std::string_view kPolicy = "tls/shop/api/api:443";

class OperatorCrlsTest : public ::testing::Test {
 protected:
  // The Secret's further keys, as lines.
  void apply_objects(std::string_view more = "", std::string_view annotations = "") {
    std::string text = R"(
apiVersion: v1
kind: Secret
metadata: {name: api-tls, namespace: shop}
stringData:
  ca.crt: ${CA:backends}
)";
    text.append(more).append(R"(
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 443}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: handfast}
spec: {controller: handfast.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: api
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/api-tls
)");
    text.append(annotations).append(R"(
spec:
  ingressClassName: handfast
  tls: [{hosts: [api.example]}]
  rules:
  - host: api.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}]}
)");
    apply_yaml(state_, material_.fill(text));
  }

  void put_list(const std::string& file, std::string bytes) {
    objects::ConfigMap lists;
    if (const auto* before = state_.find_operator_crls(objects::kCrlDirectoryName)) lists = *before;
    lists.meta.name = objects::kCrlDirectoryName;
    lists.data[file].bytes = std::move(bytes);
    state_.apply(std::move(lists));
  }

  const config::UpstreamTls* policy() {
    output_ = translate(state_, last_good_, {}, kNow);
    return find_shard_as<config::UpstreamTls>(output_, kPolicy);
  }

  MaterialSource material_;
  handfast::testing::TestAuthority authority_{"operator"};
  state::ClusterState state_;
  LastGood last_good_;
  Output output_;
};

TEST_F(OperatorCrlsTest, HoldWhereAnObjectNamesNone) {
  apply_objects();
  put_list("one", authority_.crl_pem());
  put_list("two", authority_.crl_pem());

  ASSERT_NE(policy(), nullptr);
  EXPECT_EQ(policy()->revocation, RevocationScope::Listed);
  ASSERT_EQ(policy()->crl.size(), 2U);
  EXPECT_EQ(policy()->crl[0].source, "CrlDirectory/crl-dir/one");
  EXPECT_TRUE(output_.files.contains(policy()->crl[0].path));
}

TEST_F(OperatorCrlsTest, LeaveWhatAnObjectDemandsAsItIs) {
  apply_objects("  ca.crl: ${CRL:backends}");
  put_list("one", authority_.crl_pem());

  ASSERT_NE(policy(), nullptr);
  EXPECT_EQ(policy()->revocation, RevocationScope::Chain);
  EXPECT_EQ(policy()->crl.size(), 2U);
}

TEST_F(OperatorCrlsTest, HoldForClientsToo) {
  apply_objects("", R"(
    nginx.ingress.kubernetes.io/auth-tls-secret: shop/api-tls
)");
  put_list("one", authority_.crl_pem());

  static_cast<void>(policy());
  const auto* host = find_shard_as<config::VirtualHost>(output_, "host/api.example");
  ASSERT_NE(host, nullptr);
  ASSERT_TRUE(host->client);
  EXPECT_EQ(host->client->revocation, RevocationScope::Listed);
  EXPECT_EQ(host->client->crl.size(), 1U);
}

TEST_F(OperatorCrlsTest, ABadFileIsToldOfAndKeepsWhatItSaid) {
  apply_objects();
  put_list("one", authority_.crl_pem());
  put_list("bad", "no list");

  EXPECT_EQ(policy()->crl.size(), 1U);
  EXPECT_THAT(testing::report_text(output_), HasSubstr("bad_crl"));

  last_good_ = output_.items;
  put_list("one", "torn");
  ASSERT_EQ(policy()->crl.size(), 1U);
  EXPECT_EQ(policy()->crl[0].source, "CrlDirectory/crl-dir/one");
}

TEST_F(OperatorCrlsTest, AreFoundAgainInAGeneration) {
  for (const char* name : {"one", "Root+Issuing CA (2).crl"}) {
    const config::FileRef file{"tls/_cluster/crl-dir/0123456789abcdef/ca.crl",
                               std::string("CrlDirectory/crl-dir/") + name};
    const auto key = find_key(file, ItemKind::Crl);
    ASSERT_TRUE(key) << name;
    EXPECT_EQ(source_text(*key), file.source);
    EXPECT_EQ(object_directory(*key), "tls/_cluster/crl-dir");
  }
}

}  // namespace
}  // namespace handfast::translate
