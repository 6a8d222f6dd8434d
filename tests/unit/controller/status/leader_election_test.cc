#include "controller/status/leader_election.h"

#include <gtest/gtest.h>

#include <map>
#include <string_view>
#include <vector>

#include "controller/objects/json_reader.h"

namespace handfast::status {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Answer = LeaderElection::Answer;
using Request = LeaderElection::Request;
using Verb = Request::Verb;

constexpr UnixSeconds kWall = 1'800'000'000;
constexpr seconds kTtl{30};

objects::Value read(const std::string& json) {
  objects::JsonReader reader{json, 1};
  auto value = reader.next();
  EXPECT_TRUE(value.has_value()) << json;
  return value.value_or(objects::Value{});
}

// A Lease as an API server keeps one: one state, one version, conflicts.
class Server {
 public:
  Answer take(const Request& request) {
    using Kind = Answer::Kind;
    if (is_down) return {Kind::Failed};
    if (request.verb == Verb::Get) return lease ? Answer{Kind::Ok, lease} : Answer{Kind::NotFound};
    const objects::Value body = read(request.body);
    const objects::Value& spec = *body.find("spec");
    if (request.verb == Verb::Create) {
      if (lease) return {Kind::Conflict};
      lease.emplace();
    } else {
      if (!lease) return {Kind::NotFound};
      const std::string& version = body.find("metadata")->find("resourceVersion")->scalar;
      if (version != lease->resource_version) return {Kind::Conflict};
    }
    set(spec, "holderIdentity", lease->holder);
    set(spec, "acquireTime", lease->acquired);
    set(spec, "renewTime", lease->renewed);
    std::string number = std::to_string(lease->duration.count());
    set(spec, "leaseDurationSeconds", number);
    lease->duration = seconds{std::stol(number)};
    number = std::to_string(lease->transitions);
    set(spec, "leaseTransitions", number);
    lease->transitions = std::stol(number);
    lease->resource_version = std::to_string(++version_);
    return {Kind::Ok, lease};
  }

  std::optional<Lease> lease;
  bool is_down = false;

 private:
  static void set(const objects::Value& spec, std::string_view key, std::string& to) {
    if (const objects::Value* value = spec.find(key)) to = value->scalar;
  }
  int version_ = 0;
};

LeaderElection make(const std::string& identity) {
  return LeaderElection{{"handfast", "leader", identity, kTtl}};
}

class LeaderElectionTest : public testing::Test {
 protected:
  // Everything that is due by now, with answers at once.
  void step(LeaderElection& one) {
    for (int i = 0; i < 10; ++i) {
      const auto request = one.next(now, kWall + (now - Monotonic{}) / seconds{1});
      if (!request) return;
      one.on_answer(server.take(*request), now);
    }
    ADD_FAILURE() << "asks in a circle";
  }

  Server server;
  Monotonic now{seconds{1000}};
};

TEST_F(LeaderElectionTest, TheFirstMakesTheLeaseAndLeads) {
  auto one = make("a");
  step(one);

  EXPECT_TRUE(one.leads(now));
  ASSERT_TRUE(server.lease);
  EXPECT_EQ(server.lease->holder, "a");
  EXPECT_EQ(server.lease->duration, kTtl);
  EXPECT_EQ(server.lease->renewed, "2027-01-15T08:16:40.000000Z");
  EXPECT_EQ(one.due(), now + milliseconds{7500});
}

TEST_F(LeaderElectionTest, TheSecondFollowsWhileTheFirstRenews) {
  auto one = make("a");
  auto two = make("b");
  for (int i = 0; i < 40; ++i) {
    step(one);
    step(two);
    EXPECT_TRUE(one.leads(now));
    EXPECT_FALSE(two.leads(now));
    now += seconds{8};
  }
  EXPECT_EQ(server.lease->transitions, 0);
}

TEST_F(LeaderElectionTest, ALeaderThatDiesIsFollowedAfterTheLeaseRanOut) {
  auto one = make("a");
  auto two = make("b");
  step(one);
  step(two);
  const Monotonic seen = now;
  while (!two.leads(now) && now < seen + seconds{120}) {
    now += milliseconds{500};
    step(two);
  }
  EXPECT_GE(now, seen + kTtl);
  EXPECT_LE(now, seen + kTtl + kTtl / 4 + seconds{1});
  EXPECT_EQ(server.lease->transitions, 1);
  EXPECT_FALSE(one.leads(now));
}

TEST_F(LeaderElectionTest, ALeaderThatCannotRenewStopsLongBeforeAnotherBegins) {
  auto one = make("a");
  auto two = make("b");
  step(one);
  step(two);
  server.is_down = true;
  const Monotonic down = now;
  while (one.leads(now)) {
    now += milliseconds{100};
    step(one);
    step(two);
  }
  EXPECT_LE(now - down, kTtl / 2 + milliseconds{100});
  server.is_down = false;
  while (now < down + kTtl) {
    EXPECT_FALSE(two.leads(now));
    now += milliseconds{100};
    step(two);
  }
}

TEST_F(LeaderElectionTest, ASlowRenewalCountsFromWhenItWasSent) {
  auto one = make("a");
  step(one);
  now += seconds{8};
  const auto request = one.next(now, kWall);
  ASSERT_TRUE(request);
  const Monotonic sent = now;
  const Answer answer = server.take(*request);
  now += seconds{6};
  one.on_answer(answer, now);

  EXPECT_EQ(one.leads_until(), sent + kTtl / 2);
}

TEST_F(LeaderElectionTest, OfTwoThatTakeAFreeLeaseOneWins) {
  auto one = make("a");
  auto two = make("b");
  auto gone = make("c");
  step(gone);
  now += seconds{100};
  // Both look, both see c; both wait for its end; both try at once.
  step(one);
  step(two);
  now += kTtl;
  const auto first = one.next(now, kWall);
  const auto second = two.next(now, kWall);
  ASSERT_TRUE(first && second);
  one.on_answer(server.take(*first), now);
  two.on_answer(server.take(*second), now);
  step(one);
  step(two);

  EXPECT_NE(one.leads(now), two.leads(now));
}

TEST_F(LeaderElectionTest, AReleasedLeaseIsTakenAtTheNextLook) {
  auto one = make("a");
  auto two = make("b");
  step(one);
  step(two);
  const auto request = one.release(kWall);
  ASSERT_TRUE(request);
  (void)server.take(*request);
  EXPECT_FALSE(one.leads(now));

  now += milliseconds{7501};
  step(two);

  EXPECT_TRUE(two.leads(now));
}

TEST_F(LeaderElectionTest, OnlyALeaderHasSomethingToRelease) {
  auto one = make("a");
  EXPECT_FALSE(one.release(kWall));
  auto two = make("b");
  step(one);
  step(two);
  EXPECT_FALSE(two.release(kWall));
}

TEST_F(LeaderElectionTest, ALeaseThatSomebodyDeletedIsMadeAgain) {
  auto one = make("a");
  step(one);
  server.lease.reset();
  now += seconds{8};
  step(one);
  EXPECT_FALSE(one.leads(now));
  now += seconds{8};
  step(one);
  EXPECT_TRUE(one.leads(now));
}

TEST_F(LeaderElectionTest, ALeaseTakenAwayByHandEndsTheLead) {
  auto one = make("a");
  step(one);
  server.lease->holder = "person";
  server.lease->resource_version = "99";
  now += seconds{8};
  step(one);
  EXPECT_FALSE(one.leads(now));
}

TEST(Lease, IsReadFromWhatTheServerSays) {
  const auto lease = parse_lease(read(
      R"({"kind":"Lease","metadata":{"resourceVersion":"7"},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,)"
      R"("acquireTime":"2026-01-01T00:00:00.000000Z","renewTime":"2026-01-01T00:00:10.000000Z","leaseTransitions":3}})"));
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->holder, "a");
  EXPECT_EQ(lease->duration, seconds{15});
  EXPECT_EQ(lease->transitions, 3);
  EXPECT_FALSE(parse_lease(read(R"({"kind":"Status","metadata":{}})")));
}

}  // namespace
}  // namespace handfast::status
