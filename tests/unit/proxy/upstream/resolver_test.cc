#include "proxy/upstream/resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace handfast::upstream {
namespace {

class SharedClock final : public Clock {
 public:
  [[nodiscard]] Monotonic now() const override { return Monotonic(std::chrono::seconds(seconds)); }
  [[nodiscard]] UnixSeconds unix_now() const override { return seconds; }
  std::atomic<int> seconds{100'000};
};

class ResolverTest : public ::testing::Test {
 protected:
  using Answer = Result<std::vector<net::Address>>;

  static Answer found(std::initializer_list<const char*> ips) {
    std::vector<net::Address> list;
    for (const char* ip : ips) list.push_back(net::Address::from_ip(ip, 80).value());
    return list;
  }
  // The answer at hand, or the one that comes.
  std::vector<std::string> lookup(const std::string& name) {
    std::promise<Addresses> later;
    Addresses addresses =
        resolver_.lookup(name, 80, [&](Addresses answer) { later.set_value(std::move(answer)); });
    waited_ = addresses == nullptr;
    if (waited_) addresses = later.get_future().get();
    std::vector<std::string> ips;
    for (const net::Address& address : *addresses) ips.push_back(address.ip());
    return ips;
  }
  void set_answer(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  // Until the resolver's thread has asked `count` times and is done with the last.
  void wait_for_queries(int count) {
    std::unique_lock lock(mutex_);
    asked_.wait(lock, [&] { return queries_ >= count; });
    lock.unlock();
    // A name of its own is resolved after whatever is under way.
    lookup("barrier-" + std::to_string(++barriers_));
  }

  using Ips = std::vector<std::string>;
  SharedClock clock_;
  std::mutex mutex_;
  std::condition_variable asked_;
  Answer answer_ = found({"192.0.2.1"});
  int queries_ = 0;
  int barriers_ = 0;
  bool waited_ = false;
  Resolver resolver_{clock_, [this](const std::string& name, std::uint16_t) -> Answer {
                       const std::lock_guard lock(mutex_);
                       if (name.starts_with("barrier")) return found({"192.0.2.99"});
                       ++queries_;
                       asked_.notify_all();
                       return answer_;
                     }};
};

TEST_F(ResolverTest, AsksOnceAndServesTheAnswerWhileItIsFresh) {
  EXPECT_EQ(lookup("db.example"), Ips{"192.0.2.1"});
  EXPECT_TRUE(waited_);
  clock_.seconds += 29;

  EXPECT_EQ(lookup("db.example"), Ips{"192.0.2.1"});

  EXPECT_FALSE(waited_);
  EXPECT_EQ(queries_, 1);
}

TEST_F(ResolverTest, ServesAStaleAnswerWhileItAsksAgain) {
  lookup("db.example");
  set_answer(found({"192.0.2.2"}));
  clock_.seconds += 31;

  EXPECT_EQ(lookup("db.example"), Ips{"192.0.2.1"});
  EXPECT_FALSE(waited_);
  wait_for_queries(2);

  EXPECT_EQ(lookup("db.example"), Ips{"192.0.2.2"});
}

TEST_F(ResolverTest, KeepsTheLastGoodAnswerWhenTheNameStopsResolving) {
  lookup("db.example");
  set_answer(fail(Reason::NoEndpoints, "SERVFAIL"));
  clock_.seconds += 31;
  lookup("db.example");
  wait_for_queries(2);

  EXPECT_EQ(lookup("db.example"), Ips{"192.0.2.1"});
}

TEST_F(ResolverTest, DropsTheLastGoodAnswerAfterAnHour) {
  lookup("db.example");
  set_answer(fail(Reason::NoEndpoints, "SERVFAIL"));
  clock_.seconds += 3601;

  EXPECT_EQ(lookup("db.example"), Ips{});
}

TEST_F(ResolverTest, RefusesLoopbackAndTheLike) {
  set_answer(found({"127.0.0.1", "169.254.169.254", "::1", "192.0.2.7"}));
  EXPECT_EQ(lookup("mixed.example"), Ips{"192.0.2.7"});

  set_answer(found({"127.0.0.1"}));
  EXPECT_EQ(lookup("evil.example"), Ips{});
}

// The last good answer is for names that don't resolve, not for those that now lead to loopback.
TEST_F(ResolverTest, DropsTheLastGoodAnswerWhenTheNameTurnsLocal) {
  lookup("db.example");
  set_answer(found({"127.0.0.1"}));
  clock_.seconds += 31;
  lookup("db.example");
  wait_for_queries(2);

  EXPECT_EQ(lookup("db.example"), Ips{});
}

TEST_F(ResolverTest, AnswersEverybodyWhoWaits) {
  std::atomic<int> answered{0};
  std::promise<void> all;
  {
    const std::lock_guard hold(mutex_);  // the query can't be answered before all have asked
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(resolver_.lookup("db.example", 80,
                                 [&](Addresses) {
                                   if (++answered == 10) all.set_value();
                                 }),
                nullptr);
    }
  }
  all.get_future().wait();

  EXPECT_EQ(queries_, 1);
}

TEST(ResolverEnd, DoesNotWaitForWhatIsQueued) {
  SharedClock clock;
  std::atomic<int> called{0};
  {
    Resolver resolver(clock, [](const std::string&, std::uint16_t) {
      return Result<std::vector<net::Address>>(std::vector<net::Address>{});
    });
    for (int i = 0; i < 100; ++i) {
      (void)resolver.lookup("n" + std::to_string(i), 80, [&](Addresses) { ++called; });
    }
  }
  EXPECT_LE(called, 100);
}

}  // namespace
}  // namespace handfast::upstream
