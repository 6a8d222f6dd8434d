#include "proxy/base/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

namespace handfast {
namespace {

TEST(Crew, DoesWhatIsAwaitedFirstAndBothInTheirOrder) {
  std::vector<int> done;
  std::promise<void> gate, all;
  Crew crew{1};
  crew.post([&gate] { gate.get_future().wait(); });
  crew.post([&done] { done.push_back(3); }, /*is_awaited=*/false);
  crew.post([&done, &all] { done.push_back(4), all.set_value(); }, /*is_awaited=*/false);
  crew.post([&done] { done.push_back(1); });
  crew.post([&done] { done.push_back(2); });
  gate.set_value();

  all.get_future().wait();
  EXPECT_EQ(done, (std::vector<int>{1, 2, 3, 4}));
}

TEST(Crew, HasAsManyThreadsAsItNeedsAndNoMore) {
  constexpr std::size_t kMost = 3;
  std::promise<void> gate;
  const std::shared_future<void> open = gate.get_future().share();
  std::promise<void> all;
  std::atomic<std::size_t> at_work{0}, done{0};
  Crew crew{kMost};
  for (std::size_t i = 0; i < 2 * kMost; ++i) {
    crew.post([&] {
      ++at_work;
      open.wait();
      if (++done == 2 * kMost) all.set_value();
    });
  }
  while (at_work < kMost) std::this_thread::yield();

  EXPECT_EQ(at_work, kMost);
  gate.set_value();
  all.get_future().wait();
}

TEST(Crew, WaitsAtTheEndForWhatIsUnderWayAndDropsTheRest) {
  std::promise<void> begun;
  std::atomic<bool> ended{false};
  Crew crew{1};
  crew.post([&] {
    begun.set_value();
    while (!crew.stopping()) std::this_thread::yield();
    ended = true;
  });
  crew.post([] { ADD_FAILURE() << "it was queued"; });
  begun.get_future().wait();
  crew.stop();
  crew.post([] { ADD_FAILURE() << "it was posted later"; });

  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace handfast
