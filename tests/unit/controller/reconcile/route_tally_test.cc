#include "controller/reconcile/route_tally.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace handfast::reconcile {
namespace {

using Refused = std::map<std::string, std::size_t>;
using Insecure = std::map<metrics::Metrics::IngressName, std::size_t>;

class RouteTallyTest : public ::testing::Test {
 protected:
  static config::VirtualHost host_of(const std::string& name, int routes) {
    config::VirtualHost host;
    host.host = name;
    for (int i = 0; i < routes; ++i) {
      config::Route route;
      route.path = "/" + std::to_string(i);
      route.ingress_namespace = "shop";
      route.ingress = name;
      route.service = "shop/api:443";
      route.upstream_tls = "shop/api";
      host.routes.push_back(route);
    }
    return host;
  }
  static config::UpstreamTls policy_of(std::optional<Reason> refused, bool verify) {
    config::UpstreamTls policy;
    policy.name = "shop/api";
    policy.verify = verify;
    if (refused) policy.refused = config::Refusal{*refused, ""};
    return policy;
  }
  void put(config::Shard shard, bool is_whole = false) {
    translate::Change change;
    change.is_whole = is_whole;
    std::string name = config::shard_name(shard);
    change.shards.emplace(std::move(name), std::move(shard));
    tally_.update(change);
  }
  void remove(const std::string& name) {
    translate::Change change;
    change.shards.emplace(name, std::nullopt);
    tally_.update(change);
  }

  RouteTally tally_;
};

TEST_F(RouteTallyTest, CountsRoutesByWhatTheyAreRefusedWith) {
  config::VirtualHost host = host_of("a.example", 3);
  host.routes[0].refused = config::Refusal{Reason::InvalidValue, ""};
  host.routes[1].client = config::ClientAccess{};
  host.routes[1].client->refused = config::Refusal{Reason::CaMissing, ""};

  put(host);
  EXPECT_EQ(tally_.refused(), (Refused{{"invalid_value", 1}, {"ca_missing", 1}}));
  put(host_of("a.example", 3));
  EXPECT_TRUE(tally_.refused().empty());
}

TEST_F(RouteTallyTest, APolicyCountsForAllWhoLeadThere) {
  put(host_of("a.example", 1));
  put(policy_of(Reason::BadCa, true));
  put(host_of("b.example", 2));
  EXPECT_EQ(tally_.refused(), (Refused{{"bad_ca", 3}}));

  put(policy_of(std::nullopt, false));
  EXPECT_TRUE(tally_.refused().empty());
  EXPECT_EQ(tally_.insecure(), (Insecure{{{"shop", "a.example"}, 1}, {{"shop", "b.example"}, 2}}));

  remove("host/b.example");
  EXPECT_EQ(tally_.insecure(), (Insecure{{{"shop", "a.example"}, 1}}));
  put(policy_of(std::nullopt, true));
  EXPECT_TRUE(tally_.insecure().empty());
}

TEST_F(RouteTallyTest, AMissingServiceCountsWhereTheRouteIsNotRefusedOtherwise) {
  config::Service service;
  service.name = "shop/api:443";
  service.refused = config::Refusal{Reason::ServiceMissing, ""};
  put(service);
  put(host_of("a.example", 2));
  EXPECT_EQ(tally_.refused(), (Refused{{"service_missing", 2}}));

  remove("service/shop/api:443");
  EXPECT_TRUE(tally_.refused().empty());
}

TEST_F(RouteTallyTest, BeginsAnewWithTheWhole) {
  put(policy_of(std::nullopt, false));
  put(host_of("a.example", 1));

  put(host_of("b.example", 1), /*is_whole=*/true);

  EXPECT_TRUE(tally_.insecure().empty());
}

}  // namespace
}  // namespace handfast::reconcile
