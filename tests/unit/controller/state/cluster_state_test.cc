#include "controller/state/cluster_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace handfast::state {
namespace {

using objects::EndpointSlice;
using objects::Ingress;
using objects::ObjectKey;
using objects::Secret;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <class T>
T make(std::string ns, std::string name) {
  T object;
  object.meta.ns = std::move(ns);
  object.meta.name = std::move(name);
  return object;
}

EndpointSlice slice(std::string name, std::string service) {
  auto object = make<EndpointSlice>("shop", std::move(name));
  object.service = std::move(service);
  return object;
}

Ingress ingress(std::string ns, std::string name, std::string created) {
  auto object = make<Ingress>(std::move(ns), std::move(name));
  object.meta.creation_timestamp = std::move(created);
  return object;
}

template <class T>
std::vector<std::string> names(const std::vector<const T*>& objects) {
  std::vector<std::string> found;
  for (const T* object : objects) found.push_back(object->meta.name);
  return found;
}

TEST(ClusterState, FindsAnObjectByKindNamespaceAndName) {
  ClusterState state;
  EXPECT_TRUE(state.apply(make<Secret>("shop", "tls")));
  EXPECT_TRUE(state.apply(make<objects::ConfigMap>("shop", "ca")));
  EXPECT_TRUE(state.apply(make<objects::Service>("shop", "orders")));
  EXPECT_TRUE(state.apply(make<objects::IngressClass>("", "handfast")));

  EXPECT_NE(state.find_secret("shop", "tls"), nullptr);
  EXPECT_NE(state.find_config_map("shop", "ca"), nullptr);
  EXPECT_NE(state.find_service("shop", "orders"), nullptr);
  EXPECT_NE(state.find_ingress_class("handfast"), nullptr);
  EXPECT_EQ(state.find_secret("other", "tls"), nullptr);
  EXPECT_EQ(state.find_secret("shop", "ca"), nullptr);
  EXPECT_THAT(names(state.ingress_classes()), ElementsAre("handfast"));
}

TEST(ClusterState, SaysWhetherAnythingChanged) {
  ClusterState state;
  Secret secret = make<Secret>("shop", "tls");
  ASSERT_TRUE(state.apply(secret));

  EXPECT_FALSE(state.apply(secret));
  secret.data["ca.crt"].bytes = "ca";
  EXPECT_TRUE(state.apply(secret));
  EXPECT_EQ(state.find_secret("shop", "tls")->data.size(), 1U);
}

TEST(ClusterState, AMovedLineIsNoChangeButIsKept) {
  ClusterState state;
  Secret secret = make<Secret>("shop", "tls");
  ASSERT_TRUE(state.apply(secret));

  secret.meta.origin = {"b.yaml", 9};

  EXPECT_FALSE(state.apply(secret));
  EXPECT_EQ(state.find_secret("shop", "tls")->meta.origin.line, 9);
}

TEST(ClusterState, RemovesWhatIsThere) {
  ClusterState state;
  ASSERT_TRUE(state.apply(make<Secret>("shop", "tls")));

  EXPECT_TRUE(state.remove(ObjectKey{"Secret", "shop", "tls"}));
  EXPECT_FALSE(state.remove(ObjectKey{"Secret", "shop", "tls"}));
  EXPECT_EQ(state.find_secret("shop", "tls"), nullptr);
}

TEST(ClusterState, GivesTheSlicesOfAServiceByName) {
  ClusterState state;
  state.apply(slice("orders-b", "orders"));
  state.apply(slice("orders-a", "orders"));
  state.apply(slice("stray", ""));
  state.apply(slice("billing-a", "billing"));

  EXPECT_THAT(names(state.endpoint_slices("shop", "orders")), ElementsAre("orders-a", "orders-b"));
  EXPECT_THAT(state.endpoint_slices("other", "orders"), IsEmpty());
  EXPECT_THAT(state.endpoint_slices("shop", ""), IsEmpty());
}

TEST(ClusterState, ASliceFollowsItsServiceLabel) {
  ClusterState state;
  state.apply(slice("a", "orders"));

  state.apply(slice("a", "billing"));
  EXPECT_THAT(state.endpoint_slices("shop", "orders"), IsEmpty());
  EXPECT_THAT(names(state.endpoint_slices("shop", "billing")), ElementsAre("a"));

  state.remove(ObjectKey{"EndpointSlice", "shop", "a"});
  EXPECT_THAT(state.endpoint_slices("shop", "billing"), IsEmpty());
}

TEST(ClusterState, OrdersIngressesByTheirAgeThenByNameDescending) {
  ClusterState state;
  state.apply(ingress("shop", "young", "2026-03-02T00:00:00Z"));
  state.apply(ingress("a", "same", "2026-03-01T00:00:00Z"));
  state.apply(ingress("b", "same-too", "2026-03-01T00:00:00Z"));
  state.apply(ingress("b", "same", "2026-03-01T00:00:00Z"));
  state.apply(ingress("a", "ageless", ""));

  EXPECT_THAT(names(state.ingresses()),
              ElementsAre("ageless", "same-too", "same", "same", "young"));
}

}  // namespace
}  // namespace handfast::state
