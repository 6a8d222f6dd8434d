#include "proxy/upstream/balancer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

namespace handfast::upstream {
namespace {

using config::LoadBalance;

using Addresses = std::vector<net::Address>;
using Counts = std::map<std::string, int>;
using std::chrono::seconds;

Addresses addresses(int count, int first = 1) {
  Addresses made;
  for (int i = first; i < first + count; ++i) {
    made.push_back(
        net::Address::from_ip("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256), 80)
            .value());
  }
  return made;
}

class BalancerTest : public ::testing::Test {
 protected:
  ~BalancerTest() override { balancer_.check_invariants(); }

  Balancer::Choice pick(const Addresses& list, const Addresses& tried = {}) {
    return balancer_.pick({.service = "shop/a:80",
                           .addresses = list,
                           .tried = tried,
                           .algorithm = algorithm_,
                           .hash = hash_},
                          now_);
  }
  std::string picked(const Addresses& list, const Addresses& tried = {}) {
    const auto choice = pick(list, tried);
    return choice.address == nullptr ? "none" : choice.address->ip();
  }
  Balancer::Attempt start(const Addresses& list) { return balancer_.start(pick(list), now_); }
  // One request from pick to end.
  std::string request(const Addresses& list, Outcome outcome = Outcome::Ok) {
    const auto choice = pick(list);
    balancer_.start(choice, now_).finish(outcome, now_);
    return choice.address->ip();
  }
  Counts requests(const Addresses& list, int count) {
    Counts seen;
    for (int i = 0; i < count; ++i) ++seen[request(list)];
    return seen;
  }
  // Requests that fail at `bad` and are answered elsewhere, until it rests.
  void bring_down(const Addresses& list, const net::Address& bad) {
    const std::size_t rested = balancer_.resting();
    Addresses others = list;
    std::erase(others, bad);
    for (int i = 0; i < EndpointHealth::kFailuresToRest; ++i) {
      balancer_.start(pick(list, others), now_).finish(Outcome::Failed, now_);
    }
    ASSERT_EQ(balancer_.resting(), rested + 1);
  }
  // The endpoint of each of so many keys.
  std::vector<std::string> homes(const Addresses& list, int keys) {
    std::vector<std::string> made;
    for (int i = 1; i <= keys; ++i) {
      hash_ = mix(static_cast<std::uint64_t>(i));
      made.push_back(picked(list));
    }
    return made;
  }
  static int moved(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    int count = 0;
    for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
    return count;
  }

  LoadBalance algorithm_ = LoadBalance::RoundRobin;
  std::uint64_t hash_ = kNoHash;
  Monotonic now_{std::chrono::hours(1)};
  Balancer balancer_{0};
};

TEST_F(BalancerTest, GivesEachEndpointItsTurn) {
  EXPECT_EQ(requests(addresses(3), 30),
            (Counts{{"10.0.0.1", 10}, {"10.0.0.2", 10}, {"10.0.0.3", 10}}));
}

TEST_F(BalancerTest, WorkersBeginAtDifferentEndpoints) {
  const auto list = addresses(2);
  Balancer other(1);
  const PickRequest request{.service = "a", .addresses = list, .tried = {}};

  EXPECT_NE(balancer_.pick(request, now_).address->ip(), other.pick(request, now_).address->ip());
}

TEST_F(BalancerTest, ServicesTakeTurnsOfTheirOwn) {
  const auto list = addresses(2);
  const std::string first = picked(list);

  EXPECT_EQ(balancer_.pick({.service = "b", .addresses = list, .tried = {}}, now_).address->ip(),
            first);
}

TEST_F(BalancerTest, LeavesOutWhatWasTriedWhateverTheAlgorithm) {
  const auto list = addresses(3);
  hash_ = 99;
  for (const auto algorithm :
       {LoadBalance::RoundRobin, LoadBalance::LeastRequest, LoadBalance::ConsistentHash}) {
    algorithm_ = algorithm;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(picked(list, {list[0], list[2]}), "10.0.0.2");
    EXPECT_EQ(picked(list, list), "none");
  }
}

TEST_F(BalancerTest, HasNothingToPickFromNothing) { EXPECT_EQ(picked({}), "none"); }

TEST_F(BalancerTest, PicksOnlyFromTheListThatItIsGiven) {
  for (int count : {5, 1, 7, 2, 7}) {
    for (int i = 0; i < 20; ++i) {
      const auto list = addresses(count, i % 3);
      const auto choice = pick(list);
      EXPECT_EQ(std::ranges::count(list, *choice.address), 1);
    }
  }
}

// The memory of an old list may hold a new one of the same length.
TEST_F(BalancerTest, NoticesAListThatChangedInItsPlace) {
  auto list = addresses(2);
  requests(list, 4);
  for (int i = 0; i < 2; ++i) list[static_cast<std::size_t>(i)] = addresses(1, 50 + i)[0];

  EXPECT_EQ(requests(list, 4), (Counts{{"10.0.0.50", 2}, {"10.0.0.51", 2}}));
}

TEST_F(BalancerTest, NoticesAfterASnapshotThatOnlyOneEndpointWasReplacedInPlace) {
  algorithm_ = LoadBalance::ConsistentHash;
  auto list = addresses(10);
  homes(list, 10);
  const Addresses changed = [&] {
    Addresses made = list;
    made[4] = addresses(1, 60)[0];
    return made;
  }();
  Balancer fresh(5);
  list[4] = changed[4];
  balancer_.on_snapshot();
  now_ += seconds(1);
  homes(list, 1);
  now_ += EndpointHealth::kGrowth;

  for (std::uint64_t key = 1; key < 100; ++key) {
    const PickRequest request{.service = "x",
                              .addresses = changed,
                              .tried = {},
                              .algorithm = LoadBalance::ConsistentHash,
                              .hash = mix(key)};
    hash_ = mix(key);
    EXPECT_EQ(picked(list), fresh.pick(request, now_).address->ip());
  }
}

TEST_F(BalancerTest, BeginsAnewAfterAServiceIsForgotten) {
  const auto list = addresses(2);
  const std::string first = picked(list);
  balancer_.forget("shop/a:80");

  EXPECT_EQ(picked(list), first);
}

TEST_F(BalancerTest, LeastRequestTakesTheEndpointWithTheFewestInFlight) {
  algorithm_ = LoadBalance::LeastRequest;
  const auto list = addresses(3);
  std::vector<Balancer::Attempt> busy;
  Counts seen;
  for (int i = 0; i < 9; ++i) {
    const auto choice = pick(list);
    ++seen[choice.address->ip()];
    busy.push_back(balancer_.start(choice, now_));
  }
  EXPECT_EQ(seen, (Counts{{"10.0.0.1", 3}, {"10.0.0.2", 3}, {"10.0.0.3", 3}}));

  const auto freed = pick(list, {list[0], list[2]});
  ASSERT_EQ(*freed.address, list[1]);
  for (std::size_t i = 0; i < busy.size(); ++i) {
    if (i % 3 == 1) busy[i].finish(Outcome::Ok, now_);
  }
  const std::string least = picked(list);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(picked(list), least);
}

TEST_F(BalancerTest, LeastRequestTakesTurnsAmongEquals) {
  algorithm_ = LoadBalance::LeastRequest;
  EXPECT_EQ(requests(addresses(3), 30),
            (Counts{{"10.0.0.1", 10}, {"10.0.0.2", 10}, {"10.0.0.3", 10}}));
}

// One endpoint is slow and keeps its requests: with two choices it gets only a few of them.
TEST_F(BalancerTest, LeastRequestKeepsAwayFromTheBusyOneOfMany) {
  algorithm_ = LoadBalance::LeastRequest;
  const auto list = addresses(100);
  std::vector<Balancer::Attempt> kept;
  Counts seen;
  for (int i = 0; i < 10'000; ++i) {
    const auto choice = pick(list);
    ++seen[choice.address->ip()];
    auto attempt = balancer_.start(choice, now_);
    if (*choice.address == list[7]) kept.push_back(std::move(attempt));
  }

  EXPECT_EQ(seen.size(), 100u);
  EXPECT_LT(kept.size(), 10u);
  for (const auto& [ip, count] : seen) {
    EXPECT_LT(count, 200) << ip;
  }
}

TEST_F(BalancerTest, ConsistentHashSendsAKeyToOneEndpointInEveryWorker) {
  algorithm_ = LoadBalance::ConsistentHash;
  const auto list = addresses(5);
  const auto first = homes(list, 100);
  Addresses turned(list.rbegin(), list.rend());
  Balancer other(1234);

  EXPECT_EQ(homes(list, 100), first);
  balancer_.forget("shop/a:80");
  EXPECT_EQ(homes(turned, 100), first);
}

TEST_F(BalancerTest, ConsistentHashSpreadsKeysEvenly) {
  algorithm_ = LoadBalance::ConsistentHash;
  Counts seen;
  for (const std::string& home : homes(addresses(10), 10'000)) ++seen[home];

  ASSERT_EQ(seen.size(), 10u);
  for (const auto& [ip, count] : seen) {
    EXPECT_GT(count, 880) << ip;
    EXPECT_LT(count, 1120) << ip;
  }
}

TEST_F(BalancerTest, ConsistentHashMovesOneKeyInNWhenOneOfNEndpointsGoes) {
  algorithm_ = LoadBalance::ConsistentHash;
  auto list = addresses(10);
  const auto before = homes(list, 10'000);
  const std::string gone = list[3].ip();
  list.erase(list.begin() + 3);
  const auto after = homes(list, 10'000);

  EXPECT_EQ(moved(before, after), std::ranges::count(before, gone));
}

TEST_F(BalancerTest, ConsistentHashMovesKeysOnlyToTheEndpointThatComes) {
  algorithm_ = LoadBalance::ConsistentHash;
  const auto before = homes(addresses(10), 10'000);
  const auto list = addresses(11);
  homes(list, 1);
  now_ += EndpointHealth::kGrowth;
  const auto after = homes(list, 10'000);

  EXPECT_EQ(moved(before, after), std::ranges::count(after, list[10].ip()));
  EXPECT_NEAR(moved(before, after), 10'000 / 11, 150);
}

// Each key moves once: one that went back and forth would lose its session twice.
TEST_F(BalancerTest, ConsistentHashLetsKeysComeOneAfterTheOtherWhileAnEndpointGrows) {
  algorithm_ = LoadBalance::ConsistentHash;
  auto before = homes(addresses(4), 2'000);
  const auto list = addresses(5);
  homes(list, 1);
  long had = 0;
  for (int i = 0; i < 12; ++i) {
    const auto after = homes(list, 2'000);
    const long has = std::ranges::count(after, list[4].ip());
    EXPECT_EQ(moved(before, after), has - had);
    if (i == 0) {
      EXPECT_NEAR(static_cast<double>(has), 40, 25);
    }
    had = has;
    before = after;
    now_ += seconds(1);
  }
  EXPECT_NEAR(static_cast<double>(had), 400, 60);
}

TEST_F(BalancerTest, ConsistentHashSpreadsTheKeysOfARestingEndpointAndGivesThemBack) {
  algorithm_ = LoadBalance::ConsistentHash;
  const auto list = addresses(4);
  const auto before = homes(list, 2'000);
  bring_down(list, list[2]);
  const auto during = homes(list, 2'000);

  const auto lost = std::ranges::count(before, list[2].ip());
  EXPECT_EQ(moved(before, during), lost);
  Counts heirs;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == list[2].ip()) ++heirs[during[i]];
  }
  ASSERT_EQ(heirs.size(), 3u);
  for (const auto& [ip, count] : heirs) EXPECT_NEAR(count, static_cast<double>(lost) / 3, 50);

  now_ += seconds(2);
  while (balancer_.resting() > 0) {
    hash_ = mix(hash_);
    request(list);
  }
  now_ += EndpointHealth::kGrowth;
  EXPECT_EQ(homes(list, 2'000), before);
}

TEST_F(BalancerTest, ConsistentHashTakesTurnsWithoutAKey) {
  algorithm_ = LoadBalance::ConsistentHash;
  EXPECT_EQ(requests(addresses(3), 30),
            (Counts{{"10.0.0.1", 10}, {"10.0.0.2", 10}, {"10.0.0.3", 10}}));
}

TEST_F(BalancerTest, GivesNothingToAnEndpointThatRestsAndItsShareToAllOthersAlike) {
  const auto list = addresses(4);
  bring_down(list, list[1]);
  const Counts seen = requests(list, 3'000);

  EXPECT_FALSE(seen.contains(list[1].ip()));
  ASSERT_EQ(seen.size(), 3u);
  for (const auto& [ip, count] : seen) EXPECT_NEAR(count, 1'000, 120) << ip;
}

TEST_F(BalancerTest, LetsOneRequestLookWhetherARestingEndpointIsBack) {
  const auto list = addresses(3);
  bring_down(list, list[1]);
  now_ += seconds(2);
  const auto choice = pick(list);
  EXPECT_EQ(*choice.address, list[1]);
  auto probe = balancer_.start(choice, now_);
  EXPECT_FALSE(requests(list, 100).contains(list[1].ip()));
  EXPECT_EQ(balancer_.resting(), 1u);

  probe.finish(Outcome::Ok, now_);

  EXPECT_EQ(balancer_.resting(), 0u);
}

TEST_F(BalancerTest, GrowsBackOverTheSlowStart) {
  const auto list = addresses(2);
  bring_down(list, list[1]);
  now_ += seconds(2);
  EXPECT_EQ(request(list), list[1].ip());

  EXPECT_NEAR(requests(list, 1'100)[list[1].ip()], 100, 40);  // 0.1 of 1.1
  now_ += seconds(5);
  EXPECT_NEAR(requests(list, 1'500)[list[1].ip()], 500, 80);  // 0.5 of 1.5
  now_ += seconds(5);
  EXPECT_EQ(requests(list, 100)[list[1].ip()], 50);
}

TEST_F(BalancerTest, TriesThemAllWhenAllRest) {
  const auto list = addresses(3);
  for (const net::Address& one : list) bring_down(list, one);
  ASSERT_EQ(balancer_.resting(), 3u);
  for (const auto algorithm : {LoadBalance::RoundRobin, LoadBalance::LeastRequest}) {
    algorithm_ = algorithm;
    EXPECT_EQ(requests(list, 0).size(), 0u);
    Counts seen;
    for (int i = 0; i < 300; ++i) ++seen[picked(list)];
    EXPECT_EQ(seen.size(), 3u);
  }
  algorithm_ = LoadBalance::ConsistentHash;
  hash_ = 5;
  EXPECT_NE(picked(list), "none");
}

TEST_F(BalancerTest, TriesARestingEndpointWhenTheOthersWereTried) {
  const auto list = addresses(3);
  bring_down(list, list[2]);

  EXPECT_EQ(picked(list, {list[0], list[1]}), list[2].ip());
}

TEST_F(BalancerTest, LeastRequestReckonsWithTheShareOfWhatGrows) {
  algorithm_ = LoadBalance::LeastRequest;
  (void)pick(addresses(2));
  const auto list = addresses(3);
  std::vector<Balancer::Attempt> busy;
  Counts seen;
  for (int i = 0; i < 210; ++i) {
    const auto choice = pick(list);
    ++seen[choice.address->ip()];
    busy.push_back(balancer_.start(choice, now_));
  }

  EXPECT_NEAR(seen[list[2].ip()], 10, 2);  // 0.1 of 2.1
}

TEST_F(BalancerTest, StartsSlowlyWithWhatIsNewInAKnownService) {
  (void)pick(addresses(3));
  const auto list = addresses(4);

  EXPECT_NEAR(requests(list, 3'100)[list[3].ip()], 100, 40);
  now_ += EndpointHealth::kGrowth;
  EXPECT_EQ(requests(list, 400)[list[3].ip()], 100);
}

TEST_F(BalancerTest, DoesNotStartSlowlyAtFirstSightOfAService) {
  EXPECT_EQ(requests(addresses(2), 10), (Counts{{"10.0.0.1", 5}, {"10.0.0.2", 5}}));
  EXPECT_TRUE(balancer_.unwell(now_).empty());
}

TEST_F(BalancerTest, DoesNotStartSlowlyWhereAllIsNew) {
  (void)pick(addresses(2));

  EXPECT_EQ(requests(addresses(2, 20), 10), (Counts{{"10.0.0.20", 5}, {"10.0.0.21", 5}}));
}

TEST_F(BalancerTest, KeepsWhatItKnowsOfAnEndpointWhenTheListChanges) {
  const auto list = addresses(5);
  bring_down(list, list[3]);
  const auto shorter = Addresses(list.begin() + 2, list.end());
  balancer_.on_snapshot();

  EXPECT_FALSE(requests(shorter, 100).contains(list[3].ip()));
  EXPECT_EQ(balancer_.resting(), 1u);
}

TEST_F(BalancerTest, DropsWhatItKnowsOfAnEndpointThatIsGone) {
  const auto list = addresses(2);
  bring_down(list, list[1]);
  (void)pick(addresses(1));
  EXPECT_EQ(balancer_.resting(), 0u);
  bring_down(list, list[0]);

  balancer_.forget("shop/a:80");

  EXPECT_EQ(balancer_.resting(), 0u);
}

TEST_F(BalancerTest, SaysWhoIsUnwell) {
  const auto list = addresses(3);
  bring_down(list, list[1]);

  const auto views = balancer_.unwell(now_);

  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].service, "shop/a:80");
  EXPECT_EQ(*views[0].address, list[1]);
  EXPECT_EQ(views[0].state, EndpointHealth::State::Resting);
  EXPECT_EQ(views[0].failures, EndpointHealth::kFailuresToRest);
  EXPECT_GT(views[0].rest_until, now_);
}

TEST_F(BalancerTest, AnAttemptThatIsDroppedSaysNothing) {
  const auto list = addresses(1);
  for (int i = 0; i < 10; ++i) (void)start(list);

  EXPECT_EQ(balancer_.resting(), 0u);
}

TEST_F(BalancerTest, AnAttemptMayOutliveEndpointServiceAndBalancer) {
  std::optional<Balancer> balancer(std::in_place, 0);
  const auto list = addresses(2);
  const auto start = [&](std::string_view service, const Addresses& of) {
    return balancer->start(balancer->pick({.service = service, .addresses = of, .tried = {}}, now_),
                           now_);
  };
  auto endpoint_gone = start("a", list);
  const auto others = addresses(1, 9);
  (void)start("a", others);
  endpoint_gone.finish(Outcome::Failed, now_);
  auto service_gone = start("b", list);
  balancer->forget("b");
  service_gone.finish(Outcome::Ok, now_);
  auto all_gone = start("c", list);
  auto dropped = start("c", list);

  balancer.reset();

  all_gone.finish(Outcome::Ok, now_);
}

}  // namespace
}  // namespace handfast::upstream
