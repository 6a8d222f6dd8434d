#include "proxy/event/loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "tests/support/times.h"
#include "tests/unit/proxy/event/loop_driver.h"

namespace handfast::event {
namespace {

class LoopTest : public ::testing::Test {
 protected:
  handfast::testing::FakeClock clock_;
  std::unique_ptr<Loop> loop_ = std::move(Loop::create(clock_).value());
  handfast::testing::LoopDriver driver_{*loop_};
};

TEST_F(LoopTest, RunsWhatManyThreadsPostEachInItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::thread loop_thread([this] { loop_->run(); });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        loop_->post([&, t, i] {
          seen[static_cast<std::size_t>(t)].push_back(i);
          ++total;
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  loop_->stop();
  loop_thread.join();

  EXPECT_EQ(total, kThreads * kTasks);
  for (const auto& list : seen) EXPECT_TRUE(std::ranges::is_sorted(list));
}

TEST_F(LoopTest, WhatWasPostedBeforeStopStillRuns) {
  int ran = 0;
  for (int i = 0; i < 10; ++i) loop_->post([&] { ++ran; });
  loop_->stop();

  loop_->run();

  EXPECT_EQ(ran, 10);
}

TEST_F(LoopTest, ATaskMayPostAnother) {
  int depth = 0;
  std::function<void()> task = [&] {
    if (++depth < 100) loop_->post(task);
  };
  loop_->post(task);

  EXPECT_TRUE(driver_.until([&] { return depth == 100; }));
}

class CountedEnd final : public RoundEnd {
 public:
  explicit CountedEnd(std::vector<std::string>& log, std::string name)
      : log_(log), name_(std::move(name)) {}
  ~CountedEnd() override { log_.push_back("~" + name_); }
  void on_round_end() override {
    log_.push_back(name_);
    if (then) then();
  }
  std::function<void()> then;

 private:
  std::vector<std::string>& log_;
  std::string name_;
};

TEST_F(LoopTest, EndOfRoundWorkRunsOnceHoweverOftenItWasScheduled) {
  std::vector<std::string> log;
  CountedEnd end(log, "a");
  loop_->post([&] {
    for (int i = 0; i < 5; ++i) loop_->at_round_end(end);
  });

  driver_.settle(3);

  EXPECT_EQ(log, std::vector<std::string>{"a"});
}

TEST_F(LoopTest, DeletionsComeAfterAllEndOfRoundWorkOfTheRound) {
  std::vector<std::string> log;
  auto first = std::make_unique<CountedEnd>(log, "first");
  auto second = std::make_unique<CountedEnd>(log, "second");
  CountedEnd* const second_raw = second.get();
  first->then = [&] { loop_->at_round_end(*second_raw); };
  loop_->post([&] {
    loop_->at_round_end(*first);
    loop_->defer_delete(std::move(first));
    loop_->defer_delete(std::move(second));
  });

  driver_.settle(3);

  EXPECT_EQ(log, (std::vector<std::string>{"first", "second", "~first", "~second"}));
}

TEST_F(LoopTest, AnObjectMayDeferAnotherDeletionWhileItIsDestroyed) {
  std::vector<std::string> log;
  struct Outer final : Deletable {
    Outer(Loop& its_loop, std::unique_ptr<Deletable> its_inner)
        : loop(its_loop), inner(std::move(its_inner)) {}
    ~Outer() override { loop.defer_delete(std::move(inner)); }
    Loop& loop;
    std::unique_ptr<Deletable> inner;
  };
  loop_->post([&] {
    loop_->defer_delete(
        std::make_unique<Outer>(*loop_, std::make_unique<CountedEnd>(log, "inner")));
  });

  driver_.settle(2);

  EXPECT_EQ(log, std::vector<std::string>{"~inner"});
}

// Two descriptors become ready in one round; the handler that comes first ends the other, whose
// event is already in the list.
TEST_F(LoopTest, AHandlerEndedByAnotherInTheSameRoundIsStillAlive) {
  struct Ender final : Handler {
    void on_event(std::uint32_t) override {
      ++events;
      if (other == nullptr || *other == nullptr) return;
      loop->remove(other_fd);
      loop->defer_delete(std::move(*other));
    }
    Loop* loop = nullptr;
    std::unique_ptr<Ender>* other = nullptr;
    int other_fd = -1;
    int events = 0;
  };
  UniqueFd fds[2] = {UniqueFd(::eventfd(1, EFD_NONBLOCK)), UniqueFd(::eventfd(1, EFD_NONBLOCK))};
  std::unique_ptr<Ender> enders[2] = {std::make_unique<Ender>(), std::make_unique<Ender>()};
  for (int i = 0; i < 2; ++i) {
    enders[i]->loop = loop_.get();
    enders[i]->other = &enders[1 - i];
    enders[i]->other_fd = fds[1 - i].get();
    ASSERT_TRUE(loop_->add(fds[i].get(), *enders[i]));
  }

  driver_.settle(3);

  EXPECT_TRUE((enders[0] == nullptr) || (enders[1] == nullptr));
}

TEST_F(LoopTest, TimersFireWhenTheClockSaysSo) {
  int fired = 0;
  Timer timer(loop_->timers(), [&] { ++fired; });
  timer.set(clock_.now() + std::chrono::seconds(60));
  driver_.settle(3);
  EXPECT_EQ(fired, 0);

  clock_.advance(std::chrono::seconds(61));

  EXPECT_TRUE(driver_.until([&] { return fired == 1; }));
}

TEST_F(LoopTest, AddRefusesADescriptorThatIsNotOpen) {
  struct Nothing final : Handler {
    void on_event(std::uint32_t) override {}
  } nothing;

  EXPECT_FALSE(loop_->add(-1, nothing));
}

}  // namespace
}  // namespace handfast::event
