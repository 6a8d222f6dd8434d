#include "proxy/upstream/resolver.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "tests/support/times.h"

namespace handfast::upstream {
namespace {

using Kind = NameAnswer::Kind;
using Ips = std::vector<std::string>;
using std::chrono::minutes;
using std::chrono::seconds;

class ResolverTest : public ::testing::Test {
 protected:
  static NameAnswer found(std::initializer_list<const char*> ips, seconds ttl = seconds(60)) {
    NameAnswer answer{.kind = Kind::Found, .addresses = {}, .ttl = ttl, .detail = {}};
    for (const char* ip : ips) answer.addresses.push_back(net::Address::from_ip(ip, 0).value());
    return answer;
  }
  static NameAnswer none(Kind kind) {
    return {.kind = kind, .addresses = {}, .ttl = seconds(0), .detail = "says the test"};
  }
  static Ips ips_of(const Addresses& addresses) {
    Ips ips;
    for (const net::Address& address : *addresses) ips.push_back(address.ip());
    return ips;
  }
  // What is at hand, or what the answer under way will say; "waits" if there is neither.
  Ips lookup(std::string_view name = "db.example", std::uint16_t port = 5432) {
    const auto later = std::make_shared<Ips>(Ips{"waits"});
    const Addresses at_hand =
        resolver_.lookup(name, port, [later](const Addresses& answer) { *later = ips_of(answer); });
    return at_hand != nullptr ? ips_of(at_hand) : *later;
  }
  // As lookup(), but of an answer that doesn't come yet.
  Ips lookup_meanwhile() {
    answers_at_once_ = false;
    return lookup();
  }
  void answer_now(NameAnswer answer) {
    ASSERT_NE(answered_, nullptr);
    std::exchange(answered_, nullptr)(std::move(answer));
  }

  handfast::testing::FakeClock clock_;
  NameAnswer answer_ = found({"192.0.2.1"});
  bool answers_at_once_ = true;
  std::function<void(NameAnswer)> answered_;
  int queries_ = 0;
  Resolver resolver_{clock_, [this](const std::string&, std::function<void(NameAnswer)> answered) {
                       ++queries_;
                       if (answers_at_once_) return answered(answer_);
                       answered_ = std::move(answered);
                     }};
};

TEST_F(ResolverTest, AsksOnceAndServesTheAnswerWhileItIsFresh) {
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
  clock_.advance(seconds(59));
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});

  EXPECT_EQ(queries_, 1);
}

TEST_F(ResolverTest, GivesTheAddressesThePortThatWasAskedFor) {
  Addresses got;
  (void)resolver_.lookup("db.example", 5432, [&](Addresses answer) { got = std::move(answer); });

  EXPECT_EQ(got->front().port(), 5432);
}

TEST_F(ResolverTest, KeepsATtlWithinItsBounds) {
  answer_ = found({"192.0.2.1"}, seconds(0));
  lookup();
  lookup();
  EXPECT_EQ(queries_, 1);
  clock_.advance(seconds(1));
  answer_ = found({"192.0.2.1"}, seconds(1'000'000));
  lookup();
  EXPECT_EQ(queries_, 2);
  clock_.advance(seconds(3599));
  lookup();
  EXPECT_EQ(queries_, 2);
  clock_.advance(seconds(1));
  lookup();

  EXPECT_EQ(queries_, 3);
}

TEST_F(ResolverTest, ServesAStaleAnswerForAMomentWhileItAsksAgain) {
  lookup();
  clock_.advance(seconds(61));
  EXPECT_EQ(lookup_meanwhile(), Ips{"192.0.2.1"});
  EXPECT_EQ(lookup_meanwhile(), Ips{"192.0.2.1"});
  EXPECT_EQ(queries_, 2);

  answer_now(found({"192.0.2.2"}));

  EXPECT_EQ(lookup(), Ips{"192.0.2.2"});
}

TEST_F(ResolverTest, WaitsForANewAnswerWhenTheOldOneIsLongStale) {
  lookup();
  clock_.advance(seconds(91));

  EXPECT_EQ(lookup_meanwhile(), Ips{"waits"});
}

TEST_F(ResolverTest, KeepsTheLastGoodAnswerForAnHourWhenNothingCanBeLearned) {
  lookup();
  answer_ = none(Kind::Failed);
  clock_.advance(seconds(91));
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
  clock_.advance(minutes(59));
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
  clock_.advance(minutes(1));

  EXPECT_EQ(lookup(), Ips{});
}

TEST_F(ResolverTest, KeepsTheLastGoodAnswerForTenMinutesWhenTheNameIsGone) {
  lookup();
  answer_ = none(Kind::NoSuchName);
  clock_.advance(seconds(61));
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
  clock_.advance(minutes(9));
  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
  clock_.advance(minutes(1));

  EXPECT_EQ(lookup(), Ips{});
}

TEST_F(ResolverTest, DoesNotWaitForDnsThatIsKnownToFailWhileThereIsAGoodAnswer) {
  lookup();
  answer_ = none(Kind::Failed);
  clock_.advance(minutes(5));
  lookup();
  clock_.advance(minutes(5));
  EXPECT_EQ(lookup_meanwhile(), Ips{"192.0.2.1"});
  EXPECT_EQ(queries_, 3);

  answer_now(found({"192.0.2.9"}));

  EXPECT_EQ(lookup(), Ips{"192.0.2.9"});
}

TEST_F(ResolverTest, DropsTheLastGoodAnswerThatIsTooOldAtTheFirstFailure) {
  lookup();
  answer_ = none(Kind::Failed);
  clock_.advance(minutes(62));

  EXPECT_EQ(lookup(), Ips{});
}

TEST_F(ResolverTest, AsksAgainOnlyAfterAWhileWhenThereIsNoAnswer) {
  answer_ = none(Kind::NoSuchName);
  EXPECT_EQ(lookup(), Ips{});
  clock_.advance(seconds(4));
  EXPECT_EQ(lookup(), Ips{});
  EXPECT_EQ(queries_, 1);
  clock_.advance(seconds(1));
  answer_ = found({"192.0.2.1"});

  EXPECT_EQ(lookup(), Ips{"192.0.2.1"});
}

TEST_F(ResolverTest, RefusesLoopbackAndTheLike) {
  answer_ = found({"127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "::", "fe80::1", "224.0.0.1",
                   "ff02::1", "::ffff:127.0.0.1", "192.0.2.7"});
  EXPECT_EQ(lookup("mixed.example"), Ips{"192.0.2.7"});

  answer_ = found({"127.0.0.1"});
  EXPECT_EQ(lookup("evil.example"), Ips{});
}

// The last good answer is for names that don't resolve, not for those that now lead to loopback.
TEST_F(ResolverTest, DropsTheLastGoodAnswerWhenTheNameTurnsLocal) {
  lookup();
  answer_ = found({"127.0.0.1"});
  clock_.advance(seconds(91));

  EXPECT_EQ(lookup(), Ips{});
}

TEST_F(ResolverTest, RefusesTheProxysOwnListeners) {
  resolver_.set_own_listeners(
      {net::Address::parse("192.0.2.1:8443").value(), net::Address::parse("0.0.0.0:8080").value()},
      [] {
        return std::vector{net::Address::from_ip("10.1.2.3", 0).value(),
                           net::Address::from_ip("fd00::3", 0).value()};
      });
  answer_ = found({"192.0.2.1", "10.1.2.3", "fd00::3", "::ffff:10.1.2.3"});

  EXPECT_EQ(lookup("self.example", 8080), Ips{"192.0.2.1"});
  EXPECT_EQ(lookup("self.example", 8443), (Ips{"10.1.2.3", "fd00::3"}));
  EXPECT_EQ(lookup("self.example", 80), (Ips{"10.1.2.3", "192.0.2.1", "fd00::3"}));

  const auto admits = [this](const char* ip, std::uint16_t port) {
    return !resolver_.admit(net::Address::from_ip(ip, port).value()).empty();
  };
  EXPECT_FALSE(admits("10.1.2.3", 8080));
  EXPECT_TRUE(admits("10.1.2.3", 8443));
  EXPECT_FALSE(admits("192.0.2.1", 8443));
  EXPECT_FALSE(admits("169.254.169.254", 80));
}

TEST_F(ResolverTest, OrdersBothFamiliesAndNamesEachAddressOnce) {
  answer_ = found({"2001:db8::2", "192.0.2.10", "192.0.2.9", "2001:db8::1", "192.0.2.10"});

  EXPECT_EQ(lookup(), (Ips{"192.0.2.9", "192.0.2.10", "2001:db8::1", "2001:db8::2"}));
}

TEST_F(ResolverTest, KeepsTheListWhenItsAddressesOnlyComeInAnotherOrder) {
  answer_ = found({"192.0.2.1", "192.0.2.2"});
  lookup();
  const Addresses before = resolver_.lookup("db.example", 5432, nullptr);
  clock_.advance(seconds(60));
  answer_ = found({"192.0.2.2", "192.0.2.1"});
  lookup();

  EXPECT_EQ(resolver_.lookup("db.example", 5432, nullptr), before);
}

TEST_F(ResolverTest, AnswersEverybodyWhoWaits) {
  answers_at_once_ = false;
  int answers = 0;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(resolver_.lookup("db.example", 5432, [&](const Addresses&) { ++answers; }), nullptr);
  }
  EXPECT_EQ(queries_, 1);

  answer_now(found({"192.0.2.1"}));

  EXPECT_EQ(answers, 10);
}

TEST_F(ResolverTest, OneWhoIsAnsweredMayAskAgain) {
  Ips again;
  (void)resolver_.lookup("db.example", 5432, [&](const Addresses&) { again = lookup(); });

  EXPECT_EQ(again, Ips{"192.0.2.1"});
}

TEST_F(ResolverTest, ForgetsNamesThatNobodyAsksForWhenThereAreMany) {
  for (int i = 0; i < 256; ++i) lookup("n" + std::to_string(i));
  clock_.advance(std::chrono::hours(3));
  answers_at_once_ = false;
  lookup("n255");
  lookup("one-more");
  const auto before = queries_;

  answer_now(found({"192.0.2.1"}));
  EXPECT_EQ(lookup("n0"), Ips{"waits"});

  EXPECT_EQ(queries_, before + 1);
}

}  // namespace
}  // namespace handfast::upstream
