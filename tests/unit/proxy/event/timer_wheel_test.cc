#include "proxy/event/timer_wheel.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace handfast::event {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class TimerWheelTest : public ::testing::Test {
 protected:
  // As the loop does: tick by tick, never later than the wheel asked for.
  void pass(milliseconds time) {
    const Monotonic end = now_ + time;
    while (now_ < end) {
      now_ = std::min(end, now_ + milliseconds(16));
      wheel_.advance(now_);
    }
  }

  Monotonic now_{hours(5)};
  TimerWheel wheel_{now_};
};

TEST_F(TimerWheelTest, FiresAtItsDeadlineAndNotBefore) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + milliseconds(1000));

  pass(milliseconds(999));
  EXPECT_EQ(fired, 0);
  pass(milliseconds(1) + TimerWheel::kTick);

  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, FiresOncePerSet) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + milliseconds(100));
  pass(seconds(200));

  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, ATimerMovedToLaterFiresAtTheLaterTimeOnly) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + seconds(1));
  for (int i = 0; i < 50; ++i) {
    pass(milliseconds(500));
    timer.set(now_ + seconds(1));
  }
  EXPECT_EQ(fired, 0);

  pass(seconds(1) + TimerWheel::kTick);
  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, ATimerMovedToSoonerFiresSooner) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + seconds(30));
  timer.set(now_ + seconds(1));

  pass(seconds(1) + TimerWheel::kTick);

  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, ADeadlineBeyondOneTurnIsKept) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + seconds(300));

  pass(seconds(299));
  EXPECT_EQ(fired, 0);
  pass(seconds(1) + TimerWheel::kTick);

  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, ALongPauseFiresWhatIsDueAndNothingElse) {
  int due = 0;
  int later = 0;
  Timer soon(wheel_, [&] { ++due; });
  Timer far(wheel_, [&] { ++due; });
  Timer not_yet(wheel_, [&] { ++later; });
  soon.set(now_ + seconds(1));
  far.set(now_ + seconds(500));
  not_yet.set(now_ + hours(2));

  now_ += hours(1);
  wheel_.advance(now_);

  EXPECT_EQ(due, 2);
  EXPECT_EQ(later, 0);
  pass(hours(1) + TimerWheel::kTick);
  EXPECT_EQ(later, 1);
}

TEST_F(TimerWheelTest, ADeadlineInThePastFiresAtTheNextTick) {
  int fired = 0;
  pass(seconds(10));
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ - seconds(5));

  pass(TimerWheel::kTick + TimerWheel::kTick);

  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, ACancelledTimerDoesNotFire) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  timer.set(now_ + seconds(1));
  timer.cancel();

  pass(seconds(2));

  EXPECT_EQ(fired, 0);
  EXPECT_EQ(wheel_.wait_milliseconds(now_), -1);
}

TEST_F(TimerWheelTest, NobodyIsWokenBeforeATimerIsDue) {
  int fired = 0;
  Timer timer(wheel_, [&] { ++fired; });
  for (const milliseconds after : {milliseconds(1), milliseconds(640), milliseconds(4'096),
                                   milliseconds(30'000), milliseconds(65'000)}) {
    now_ += milliseconds(1'234'567);
    wheel_.advance(now_);
    timer.set(now_ + after);

    const milliseconds wait(wheel_.wait_milliseconds(now_));
    EXPECT_GE(wait, after);
    EXPECT_LE(wait, after + 2 * TimerWheel::kTick);
    now_ += wait;
    wheel_.advance(now_);
    EXPECT_FALSE(timer.armed()) << after.count();
  }
  EXPECT_EQ(fired, 5);
}

TEST_F(TimerWheelTest, ATimerOfALaterTurnWakesOnceATurn) {
  Timer timer(wheel_, [] {});
  timer.set(now_ + hours(1));
  int rounds = 0;
  for (; timer.armed(); ++rounds) {
    now_ += milliseconds(wheel_.wait_milliseconds(now_));
    wheel_.advance(now_);
  }

  EXPECT_LE(rounds, 58);  // 3,600 s / 65.5 s
}

TEST_F(TimerWheelTest, ACallbackMayCancelAndDestroyTimersOfTheSameTick) {
  int fired = 0;
  Timer cancelled(wheel_, [&] { ++fired; });
  auto destroyed = std::make_unique<Timer>(wheel_, [&] { ++fired; });
  Timer first(wheel_, [&] {
    cancelled.cancel();
    destroyed.reset();
  });
  const Monotonic deadline = now_ + seconds(1);
  first.set(deadline);
  cancelled.set(deadline);
  destroyed->set(deadline);

  pass(seconds(2));

  EXPECT_EQ(fired, 0);
}

TEST_F(TimerWheelTest, ACallbackMaySetItsOwnTimerAgain) {
  int fired = 0;
  Timer* self = nullptr;
  Timer timer(wheel_, [&] {
    if (++fired < 5) self->set(now_ + seconds(1));
  });
  self = &timer;
  timer.set(now_ + seconds(1));

  pass(seconds(10));

  EXPECT_EQ(fired, 5);
}

TEST_F(TimerWheelTest, ACallbackMayMoveATimerOfTheSameTickToLater) {
  int moved = 0;
  Timer other(wheel_, [&] { ++moved; });
  Timer first(wheel_, [&] { other.set(now_ + seconds(5)); });
  first.set(now_ + seconds(1));
  other.set(now_ + seconds(1));

  pass(seconds(3));
  EXPECT_EQ(moved, 0);
  pass(seconds(5));

  EXPECT_EQ(moved, 1);
}

// Many timers, set, moved and cancelled at random: each fires in its tick or not at all.
TEST_F(TimerWheelTest, RandomTimersFireInTimeOverManySeeds) {
  constexpr std::size_t kTimers = 40;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<Monotonic> deadline(kTimers);
    std::vector<std::unique_ptr<Timer>> timers;
    int wrong = 0;
    for (std::size_t i = 0; i < kTimers; ++i) {
      timers.push_back(std::make_unique<Timer>(wheel_, [&, i] {
        if (now_ < deadline[i] || now_ > deadline[i] + seconds(2)) ++wrong;
        deadline[i] = {};
      }));
    }
    for (int step = 0; step < 400; ++step) {
      const std::size_t i = random() % kTimers;
      if (random() % 4 == 0) {
        timers[i]->cancel();
        deadline[i] = {};
      } else {
        deadline[i] = now_ + milliseconds(random() % 100'000);
        timers[i]->set(deadline[i]);
      }
      now_ += milliseconds(random() % 1000);
      wheel_.advance(now_);
      for (const Monotonic when : deadline) {
        const bool overdue = when != Monotonic{} && when + seconds(1) < now_;
        ASSERT_FALSE(overdue);
      }
    }
    ASSERT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace handfast::event
