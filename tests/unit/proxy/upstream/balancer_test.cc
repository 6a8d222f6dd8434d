#include "proxy/upstream/balancer.h"

#include <gtest/gtest.h>

#include <map>

namespace handfast::upstream {
namespace {

std::vector<net::Address> addresses(int count) {
  std::vector<net::Address> made;
  for (int i = 1; i <= count; ++i) {
    made.push_back(net::Address::from_ip("10.0.0." + std::to_string(i), 80).value());
  }
  return made;
}

TEST(Balancer, GivesEachEndpointItsTurn) {
  Balancer balancer(0);
  const auto list = addresses(3);
  std::map<std::string, int> seen;
  for (int i = 0; i < 30; ++i) ++seen[balancer.pick("shop/a:80", list, {})->ip()];

  EXPECT_EQ(seen,
            (std::map<std::string, int>{{"10.0.0.1", 10}, {"10.0.0.2", 10}, {"10.0.0.3", 10}}));
}

TEST(Balancer, WorkersBeginAtDifferentEndpoints) {
  const auto list = addresses(2);
  Balancer one(0);
  Balancer two(1);

  EXPECT_NE(one.pick("a", list, {})->ip(), two.pick("a", list, {})->ip());
}

TEST(Balancer, ServicesTakeTurnsOfTheirOwn) {
  Balancer balancer(0);
  const auto list = addresses(2);
  const std::string first = balancer.pick("a", list, {})->ip();

  EXPECT_EQ(balancer.pick("b", list, {})->ip(), first);
}

TEST(Balancer, LeavesOutWhatWasTried) {
  Balancer balancer(0);
  const auto list = addresses(3);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(balancer.pick("a", list, std::vector{list[0], list[2]})->ip(), "10.0.0.2");
  }
  EXPECT_EQ(balancer.pick("a", list, list), nullptr);
}

TEST(Balancer, HasNothingToPickFromNothing) {
  Balancer balancer(0);
  EXPECT_EQ(balancer.pick("a", {}, {}), nullptr);
}

TEST(Balancer, SurvivesAListThatBecameShorter) {
  Balancer balancer(0);
  const auto list = addresses(5);
  for (int i = 0; i < 4; ++i) (void)balancer.pick("a", list, {});

  EXPECT_NE(balancer.pick("a", addresses(1), {}), nullptr);
}

TEST(Balancer, BeginsAnewAfterAServiceIsForgotten) {
  Balancer balancer(0);
  const auto list = addresses(2);
  const std::string first = balancer.pick("a", list, {})->ip();
  balancer.forget("a");

  EXPECT_EQ(balancer.pick("a", list, {})->ip(), first);
}

}  // namespace
}  // namespace handfast::upstream
