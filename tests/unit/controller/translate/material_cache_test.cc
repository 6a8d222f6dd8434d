#include "controller/translate/material_cache.h"

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

class MaterialCacheTest : public ::testing::Test {
 protected:
  std::shared_ptr<const MaterialCache::Facts> get(const std::string& hash, std::int64_t now) {
    return cache_.get(hash, now, [this] {
      ++parsed_;
      MaterialCache::Facts facts;
      facts.not_before = not_before_;
      facts.not_after = 1000;
      return facts;
    });
  }

  MaterialCache cache_;
  std::int64_t not_before_ = 0;
  int parsed_ = 0;
};

TEST_F(MaterialCacheTest, ParsesTheSameContentOnceAsLongAsSomebodyHoldsIt) {
  auto held = get("a", 1);
  EXPECT_EQ(get("a", 2), held);
  EXPECT_EQ(parsed_, 1);

  held.reset();
  held = get("a", 3);

  EXPECT_EQ(parsed_, 2);
}

TEST_F(MaterialCacheTest, ForgetsWhatNobodyHolds) {
  const auto held = get("a", 1);
  for (int i = 0; i < 1000; ++i) static_cast<void>(get(std::to_string(i), 1));

  EXPECT_LE(cache_.size(), 64U);
  EXPECT_EQ(get("a", 1), held);
}

TEST_F(MaterialCacheTest, ParsesAgainOnceSomethingExpiredOrTheClockWentBack) {
  const auto first = get("a", 500);
  const auto expired = get("a", 1001);
  EXPECT_EQ(parsed_, 2);
  EXPECT_EQ(get("a", 1002), expired);
  EXPECT_EQ(parsed_, 2);

  const auto again = get("a", 400);

  EXPECT_EQ(parsed_, 3);
}

TEST_F(MaterialCacheTest, SaysHowLongWhatItSaysHolds) {
  const auto facts = get("a", 500);
  EXPECT_EQ(facts->parsed_at, 500);
  EXPECT_EQ(facts->good_until, 1000);

  EXPECT_GT(get("b", 1001)->good_until, 1'000'000);
}

TEST_F(MaterialCacheTest, ParsesAgainOnceSomethingHasBecomeValid) {
  not_before_ = 700;

  EXPECT_EQ(get("a", 500)->good_until, 699);
  EXPECT_EQ(get("a", 700)->good_until, 1000);
}

}  // namespace
}  // namespace handfast::translate
