#include "controller/status/write_queue.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace handfast::status {
namespace {

using std::chrono::seconds;
using Outcome = WriteQueue::Outcome;

Write make(const std::string& key, const std::string& body, bool leader_only = true) {
  return {key, "PATCH", "/" + key, "application/json", body, leader_only};
}

class WriteQueueTest : public testing::Test {
 protected:
  std::string next(bool leads = true) {
    const auto write = queue.next(now, leads);
    return write ? write->key + "=" + write->body : "";
  }

  WriteQueue queue;
  Monotonic now{seconds{1000}};
};

TEST_F(WriteQueueTest, WritesTheNewestWish) {
  queue.want(make("a", "1"), now);
  queue.want(make("a", "2"), now);
  EXPECT_EQ(next(), "a=2");
  EXPECT_EQ(next(), "");
  queue.on_answer("a", Outcome::Written, now);
  EXPECT_TRUE(queue.is_idle());
}

TEST_F(WriteQueueTest, WhatIsWrittenIsNotWrittenAgainButForSomebodyElsesHand) {
  queue.want(make("a", "1"), now);
  (void)next();
  queue.want(make("a", "1"), now);
  queue.on_answer("a", Outcome::Written, now);
  queue.want(make("a", "1"), now);
  EXPECT_EQ(next(), "");

  now += WriteQueue::kResend;
  queue.want(make("a", "1"), now);
  EXPECT_EQ(next(), "a=1");
}

TEST_F(WriteQueueTest, AChangeUnderWayIsWrittenAfterwards) {
  queue.want(make("a", "1"), now);
  (void)next();
  queue.want(make("a", "2"), now);
  EXPECT_EQ(next(), "");
  queue.on_answer("a", Outcome::Written, now);
  EXPECT_EQ(next(), "a=2");
}

TEST_F(WriteQueueTest, AWishThatComesBackToWhatIsUnderWayIsNoneAnyMore) {
  queue.want(make("a", "1"), now);
  (void)next();
  queue.want(make("a", "2"), now);
  queue.want(make("a", "1"), now);
  queue.on_answer("a", Outcome::Written, now);
  EXPECT_EQ(next(), "");
  EXPECT_TRUE(queue.is_idle());
}

TEST_F(WriteQueueTest, WhatOnlyALeaderWritesWaitsForTheLead) {
  queue.want(make("a", "1"), now);
  queue.want(make("b", "1", /*leader_only=*/false), now);
  EXPECT_EQ(next(false), "b=1");
  EXPECT_EQ(next(false), "");
  EXPECT_FALSE(queue.due(false));
  EXPECT_TRUE(queue.due(true));
  EXPECT_EQ(next(true), "a=1");
}

TEST_F(WriteQueueTest, AFailureIsTriedAgainLaterAndLater) {
  queue.want(make("a", "1"), now);
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(next(), "a=1");
    queue.on_answer("a", Outcome::Retry, now);
    now += seconds{wait} - seconds{1};
    EXPECT_EQ(next(), "") << wait;
    now += seconds{1};
  }
  EXPECT_EQ(next(), "a=1");
  queue.on_answer("a", Outcome::Written, now);
  EXPECT_TRUE(queue.is_idle());
}

TEST_F(WriteQueueTest, TheServersWordCounts) {
  queue.want(make("a", "1"), now);
  (void)next();
  queue.on_answer("a", Outcome::Retry, now, seconds{20});
  EXPECT_EQ(queue.due(true), now + seconds{20});
  now += seconds{20};
  (void)next();
  queue.on_answer("a", Outcome::Refused, now);
  EXPECT_EQ(queue.due(true), now + WriteQueue::kMostRetry);
}

TEST_F(WriteQueueTest, WhatIsGoneIsForgotten) {
  queue.want(make("a", "1"), now);
  (void)next();
  queue.on_answer("a", Outcome::Gone, now);
  EXPECT_EQ(queue.size(), 0U);

  queue.want(make("a", "1"), now);
  queue.forget("a");
  EXPECT_EQ(next(), "");

  queue.want(make("a", "1"), now);
  (void)next();
  queue.forget("a");
  queue.on_answer("a", Outcome::Retry, now);
  EXPECT_EQ(queue.size(), 0U);
}

TEST_F(WriteQueueTest, FewAreUnderWayAndWhatIsDoneTakesNoMemory) {
  for (int i = 0; i < 100; ++i) queue.want(make(std::to_string(i), "x"), now);
  std::set<std::string> seen;
  while (const auto write = queue.next(now, true)) seen.insert(write->key);
  EXPECT_EQ(seen.size(), WriteQueue::kMostUnderWay);
  while (!seen.empty()) {
    const std::string key = *seen.begin();
    seen.erase(seen.begin());
    queue.on_answer(key, Outcome::Written, now);
    while (const auto write = queue.next(now, true)) seen.insert(write->key);
  }
  EXPECT_TRUE(queue.is_idle());
  EXPECT_EQ(queue.size(), 100U);
  now += WriteQueue::kResend;
  EXPECT_EQ(next(), "");
  EXPECT_EQ(queue.size(), 0U);
}

}  // namespace
}  // namespace handfast::status
