#include "proxy/upstream/endpoint_health.h"

#include <gtest/gtest.h>

#include <vector>

namespace handfast::upstream {
namespace {

using State = EndpointHealth::State;
using std::chrono::milliseconds;
using std::chrono::seconds;

class EndpointHealthTest : public ::testing::Test {
 protected:
  void once(Outcome outcome) { health_.finish(outcome, health_.start(now_), now_); }
  void fail_until_it_rests() {
    for (int i = 0; i < EndpointHealth::kFailuresToRest; ++i) once(Outcome::Failed);
    ASSERT_EQ(health_.state(), State::Resting);
  }
  // Lets the rest go by and gives the request that looks whether the endpoint is back.
  EndpointHealth::Ticket probe() {
    now_ = health_.rest_until();
    EXPECT_TRUE(health_.wants_probe(now_));
    const auto ticket = health_.start(now_);
    EXPECT_TRUE(ticket.probe);
    return ticket;
  }

  Monotonic now_{std::chrono::hours(1)};
  EndpointHealth health_{7};
};

TEST_F(EndpointHealthTest, RestsAfterThreeFailuresInARow) {
  once(Outcome::Failed);
  once(Outcome::Failed);
  EXPECT_EQ(health_.share(now_), 1);

  once(Outcome::Failed);

  EXPECT_EQ(health_.state(), State::Resting);
  EXPECT_EQ(health_.share(now_), 0);
  EXPECT_FALSE(health_.wants_probe(now_));
}

TEST_F(EndpointHealthTest, ForgetsFailuresAtASuccess) {
  for (int i = 0; i < 10; ++i) {
    once(Outcome::Failed);
    once(Outcome::Failed);
    once(Outcome::Ok);
  }
  EXPECT_EQ(health_.state(), State::Whole);
}

TEST_F(EndpointHealthTest, TakesNothingFromARequestThatItsClientGaveUp) {
  once(Outcome::Failed);
  once(Outcome::Failed);
  once(Outcome::Aborted);
  EXPECT_EQ(health_.failures(), 2);
  for (int i = 0; i < 10; ++i) once(Outcome::Aborted);

  EXPECT_EQ(health_.state(), State::Whole);
}

TEST_F(EndpointHealthTest, RestsLongerEachTimeUpToALimit) {
  fail_until_it_rests();
  std::vector<milliseconds> rests;
  for (int i = 0; i < 12; ++i) {
    rests.push_back(std::chrono::duration_cast<milliseconds>(health_.rest_until() - now_));
    health_.finish(Outcome::Failed, probe(), now_);
    ASSERT_EQ(health_.state(), State::Resting);
  }

  milliseconds nominal = EndpointHealth::kFirstRest;
  for (const milliseconds rest : rests) {
    EXPECT_GE(rest, nominal * 3 / 4 - milliseconds(1));
    EXPECT_LE(rest, nominal * 5 / 4);
    nominal = std::min(nominal * 2, EndpointHealth::kLongestRest);
  }
}

TEST_F(EndpointHealthTest, EndsRestsOfDifferentEndpointsAtDifferentTimes) {
  fail_until_it_rests();
  EndpointHealth other(8);
  for (int i = 0; i < 3; ++i) other.finish(Outcome::Failed, other.start(now_), now_);

  EXPECT_NE(other.rest_until(), health_.rest_until());
}

TEST_F(EndpointHealthTest, LetsOneRequestLookWhetherItIsBack) {
  fail_until_it_rests();
  (void)probe();

  EXPECT_EQ(health_.state(), State::Probing);
  EXPECT_FALSE(health_.wants_probe(now_));
  EXPECT_EQ(health_.share(now_), 0);
}

TEST_F(EndpointHealthTest, GrowsAfterAProbeThatWasAnsweredAndIsWholeInTheEnd) {
  fail_until_it_rests();
  health_.finish(Outcome::Ok, probe(), now_);

  EXPECT_EQ(health_.state(), State::Growing);
  EXPECT_DOUBLE_EQ(health_.share(now_), 0.1);
  EXPECT_DOUBLE_EQ(health_.share(now_ + seconds(5)), 0.5);
  EXPECT_DOUBLE_EQ(health_.share(now_ + seconds(10)), 1);
  now_ += seconds(10);
  once(Outcome::Failed);
  EXPECT_EQ(health_.state(), State::Whole);
}

TEST_F(EndpointHealthTest, RestsAtTheFirstFailureWhileItGrowsAfterARest) {
  fail_until_it_rests();
  health_.finish(Outcome::Ok, probe(), now_);
  now_ += seconds(2);
  once(Outcome::Failed);

  EXPECT_EQ(health_.state(), State::Resting);
  EXPECT_GE(health_.rest_until() - now_, EndpointHealth::kFirstRest * 3 / 2);
}

TEST_F(EndpointHealthTest, GivesWhatIsNewAsMuchPatienceAsWhatIsWhole) {
  health_.grow(now_);
  once(Outcome::Failed);
  once(Outcome::Failed);
  EXPECT_EQ(health_.state(), State::Growing);

  once(Outcome::Failed);

  EXPECT_EQ(health_.state(), State::Resting);
}

TEST_F(EndpointHealthTest, LetsTheNextRequestProbeWhenAProbeCameToNothing) {
  fail_until_it_rests();
  health_.finish(Outcome::Aborted, probe(), now_);

  EXPECT_EQ(health_.state(), State::Resting);
  EXPECT_TRUE(health_.wants_probe(now_));
}

TEST_F(EndpointHealthTest, LetsAnotherRequestProbeBesideASlowOne) {
  fail_until_it_rests();
  const auto slow = probe();
  now_ += EndpointHealth::kProbePatience;
  EXPECT_TRUE(health_.wants_probe(now_));
  health_.finish(Outcome::Ok, health_.start(now_), now_);
  EXPECT_EQ(health_.state(), State::Growing);

  health_.finish(Outcome::Failed, slow, now_);

  EXPECT_EQ(health_.state(), State::Growing);
}

TEST_F(EndpointHealthTest, HearsNothingFromWhatBeganBeforeTheRest) {
  std::vector<EndpointHealth::Ticket> old;
  for (int i = 0; i < 50; ++i) old.push_back(health_.start(now_));
  fail_until_it_rests();
  const Monotonic until = health_.rest_until();
  for (int i = 0; i < 25; ++i) {
    health_.finish(i % 2 == 0 ? Outcome::Failed : Outcome::Ok, old.back(), now_);
    old.pop_back();
  }
  EXPECT_EQ(health_.state(), State::Resting);
  EXPECT_EQ(health_.rest_until(), until);

  health_.finish(Outcome::Ok, probe(), now_);
  for (const auto ticket : old) health_.finish(Outcome::Failed, ticket, now_);

  EXPECT_EQ(health_.state(), State::Growing);
}

TEST_F(EndpointHealthTest, EndsItsRestWhenItAnswersARequestThatHadNoOtherEndpoint) {
  fail_until_it_rests();
  const Monotonic until = health_.rest_until();
  once(Outcome::Failed);
  EXPECT_EQ(health_.rest_until(), until);

  once(Outcome::Ok);

  EXPECT_EQ(health_.state(), State::Growing);
}

}  // namespace
}  // namespace handfast::upstream
