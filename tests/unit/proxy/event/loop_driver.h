#pragma once
// Drives a loop from a test, round by round, with peers that live in the same thread. Nothing here
// sleeps: every round wakes at once.

#include <chrono>
#include <functional>
#include <utility>
#include <vector>

#include "proxy/event/loop.h"

namespace handfast::testing {

class LoopDriver {
 public:
  explicit LoopDriver(event::Loop& loop) : loop_(loop) {}

  // Called once a round: peers send and receive here.
  void each_round(std::function<void()> work) { work_.push_back(std::move(work)); }

  // Runs rounds until `done` holds; false: it did not within a generous time.
  bool until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    bool held = false;
    std::function<void()> step = [&] {
      for (const auto& work : work_) work();
      held = done();
      if (held || std::chrono::steady_clock::now() > deadline) {
        loop_.stop();
      } else {
        loop_.post([&step] { step(); });
      }
    };
    loop_.post([&step] { step(); });
    loop_.run();
    return held;
  }

  // Enough rounds for whatever was going to happen over loopback.
  void settle(int rounds = 30) {
    until([&rounds] { return --rounds < 0; });
  }

 private:
  event::Loop& loop_;
  std::vector<std::function<void()>> work_;
};

}  // namespace handfast::testing
