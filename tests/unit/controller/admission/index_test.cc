#include "controller/admission/index.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/controller/admission/support.h"

namespace handfast::admission {
namespace {

using testing::apply_yaml;
using testing::decode_yaml;

std::string ingress(const std::string& name, const std::string& created,
                    const std::string& class_name = "handfast", const std::string& path = "/") {
  return "apiVersion: networking.k8s.io/v1\n"
         "kind: Ingress\n"
         "metadata: {name: " +
         name + ", namespace: shop, creationTimestamp: \"" + created +
         "\"}\n"
         "spec:\n"
         "  ingressClassName: " +
         class_name +
         "\n"
         "  rules:\n"
         "    - host: shop.example\n"
         "      http:\n"
         "        paths:\n"
         "          - {path: " +
         path +
         ", pathType: Prefix, backend: {service: {name: a, port: "
         "{number: 80}}}}\n";
}

std::string ingress_class(const std::string& name, const std::string& controller) {
  return "apiVersion: networking.k8s.io/v1\n"
         "kind: IngressClass\n"
         "metadata: {name: " +
         name +
         "}\n"
         "spec: {controller: " +
         controller + "}\n";
}

class IndexTest : public ::testing::Test {
 protected:
  std::string holder(const std::string& path = "/", const std::string& except = "none") {
    Claim claim;
    claim.host = "shop.example";
    claim.path = path;
    const auto found = index_.find_holder(claim, {"Ingress", "shop", except});
    return found ? found->ingress : "";
  }

  Index index_{translate::Options{}, Index::Told::All};
};

constexpr const char* kOld = "2025-01-01T00:00:00Z";
constexpr const char* kNew = "2026-01-01T00:00:00Z";

TEST_F(IndexTest, TheOldestHoldsAPath) {
  apply_yaml(index_, ingress("young", kNew));
  apply_yaml(index_, ingress("old", kOld));

  EXPECT_EQ(holder(), "shop/old");
  EXPECT_EQ(holder("/", "old"), "shop/young");
}

TEST_F(IndexTest, OfEquallyOldOnesTheLastByNameHoldsAPath) {
  apply_yaml(index_, ingress("b", kOld));
  apply_yaml(index_, ingress("a", kOld));

  EXPECT_EQ(holder(), "shop/b");
}

TEST_F(IndexTest, WhatIsGoneHoldsNothing) {
  apply_yaml(index_, ingress("old", kOld));
  apply_yaml(index_, ingress("young", kNew));

  index_.remove({"Ingress", "shop", "old"});

  EXPECT_EQ(holder(), "shop/young");
}

TEST_F(IndexTest, APathThatAnUpdateGivesUpIsFree) {
  apply_yaml(index_, ingress("old", kOld));

  apply_yaml(index_, ingress("old", kOld, "handfast", "/a"));

  EXPECT_EQ(holder("/"), "");
  EXPECT_EQ(holder("/a"), "shop/old");
}

TEST_F(IndexTest, AnIngressBecomesOursWithItsClass) {
  apply_yaml(index_, ingress("old", kOld, "edge"));
  EXPECT_EQ(holder(), "");

  apply_yaml(index_, ingress_class("edge", "handfast.dev/ingress-controller"));
  EXPECT_EQ(holder(), "shop/old");

  index_.remove({"IngressClass", "", "edge"});
  EXPECT_EQ(holder(), "");
}

TEST_F(IndexTest, AnUpdateThatChangesTheClassGivesEverythingUp) {
  apply_yaml(index_, ingress_class("nginx", "k8s.io/ingress-nginx"));
  apply_yaml(index_, ingress("old", kOld));

  apply_yaml(index_, ingress("old", kOld, "nginx"));

  EXPECT_EQ(holder(), "");
}

TEST_F(IndexTest, WhatSelectedDeliveryDoesNotTellIsNotMissing) {
  Index index{translate::Options{}, Index::Told::Asked};
  const objects::ObjectKey key{"Secret", "shop", "tls"};

  EXPECT_FALSE(index.is_missing(key));

  index.add_answered(key);
  EXPECT_TRUE(index.is_missing(key));

  apply_yaml(index, "apiVersion: v1\nkind: Secret\nmetadata: {name: tls, namespace: shop}\n");
  EXPECT_FALSE(index.is_missing(key));

  index.remove(key);
  EXPECT_TRUE(index.is_missing(key));

  index.set_asked({});
  EXPECT_FALSE(index.is_missing(key));
}

TEST_F(IndexTest, ServicesAreKnownWhateverIsDelivered) {
  Index index{translate::Options{}, Index::Told::Asked};
  EXPECT_TRUE(index.is_missing({"Service", "shop", "a"}));

  apply_yaml(index,
             "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n"
             "spec: {ports: [{port: 80}]}\n");
  EXPECT_FALSE(index.is_missing({"Service", "shop", "a"}));
}

TEST_F(IndexTest, GivesThePoliciesOfTheServicesThatAreAsked) {
  const auto policy = [](const std::string& name, const std::string& service) {
    return "apiVersion: handfast.dev/v1alpha1\nkind: UpstreamTLSPolicy\n"
           "metadata: {name: " +
           name +
           ", namespace: shop}\n"
           "spec: {mode: None, targetRefs: [{kind: Service, name: " +
           service + "}]}\n";
  };
  apply_yaml(index_, policy("one", "a"));
  apply_yaml(index_, policy("two", "b"));
  const auto found = [this] {
    state::ClusterState state;
    index_.add_to(state, {.services = {{"shop", "a"}}, .granting = {}});
    std::string names;
    for (const auto* each : state.upstream_tls_policies()) names += each->meta.name + ' ';
    return names;
  };

  EXPECT_EQ(found(), "one ");

  apply_yaml(index_, policy("two", "a"));
  apply_yaml(index_, policy("one", "b"));
  EXPECT_EQ(found(), "two ");

  index_.remove({"UpstreamTLSPolicy", "shop", "two"});
  EXPECT_EQ(found(), "");
}

}  // namespace
}  // namespace handfast::admission
