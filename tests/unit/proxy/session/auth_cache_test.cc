#include "proxy/session/auth_cache.h"

#include <chrono>

#include <gtest/gtest.h>

namespace handfast::session {
namespace {

using std::chrono::seconds;

constexpr Monotonic kStart{};

AuthAnswer answer(int status, std::string value = "alice") {
  return {.status = status, .values = {std::move(value)}, .challenges = {}, .cookies = {}};
}

TEST(AuthCache, KeepsAnAnswerUntilItsTimeIsOver) {
  AuthCache cache;
  cache.put("a", answer(200), kStart + seconds(5));

  ASSERT_NE(cache.find("a", kStart + seconds(4)), nullptr);
  EXPECT_EQ(cache.find("a", kStart + seconds(4))->values.front(), "alice");
  EXPECT_EQ(cache.find("b", kStart), nullptr);
  EXPECT_EQ(cache.find("a", kStart + seconds(5)), nullptr);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(AuthCache, ReplacesWhatItHas) {
  AuthCache cache;
  cache.put("a", answer(200), kStart + seconds(5));
  cache.put("a", answer(403), kStart + seconds(1));

  EXPECT_EQ(cache.find("a", kStart)->status, 403);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(AuthCache, DropsWhatWasUsedLongestAgoWhenItIsFull) {
  AuthCache cache(1000);  // three, with what each costs
  for (const char* key : {"a", "b", "c"}) cache.put(key, answer(200), kStart + seconds(5));
  ASSERT_NE(cache.find("a", kStart), nullptr);
  cache.put("d", answer(200), kStart + seconds(5));

  EXPECT_NE(cache.find("a", kStart), nullptr);
  EXPECT_EQ(cache.find("b", kStart), nullptr);
  EXPECT_NE(cache.find("d", kStart), nullptr);
  EXPECT_LE(cache.bytes(), 1000u);
}

TEST(AuthCache, TakesNothingThatIsLargerThanAllOfIt) {
  AuthCache cache(1000);
  cache.put("a", answer(200), kStart + seconds(5));
  cache.put("b", answer(200, std::string(1000, 'x')), kStart + seconds(5));

  EXPECT_NE(cache.find("a", kStart), nullptr);
  EXPECT_EQ(cache.find("b", kStart), nullptr);
}

}  // namespace
}  // namespace handfast::session
