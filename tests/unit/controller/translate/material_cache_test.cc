#include "controller/translate/material_cache.h"

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

class MaterialCacheTest : public ::testing::Test {
 protected:
  void get(const std::string& hash, std::int64_t now) {
    static_cast<void>(cache_.get(hash, now, [this] {
      ++parsed_;
      MaterialCache::Facts facts;
      facts.not_after = 1000;
      return facts;
    }));
  }

  MaterialCache cache_;
  int parsed_ = 0;
};

TEST_F(MaterialCacheTest, ParsesTheSameContentOnceInARunAndInLaterOnes) {
  cache_.begin_run();
  get("a", 1);
  get("a", 1);
  cache_.end_run();
  cache_.begin_run();
  get("a", 2);
  cache_.end_run();

  EXPECT_EQ(parsed_, 1);
}

TEST_F(MaterialCacheTest, ForgetsWhatARunDidntAskFor) {
  cache_.begin_run();
  get("a", 1);
  get("b", 1);
  cache_.end_run();
  cache_.begin_run();
  get("b", 1);
  cache_.end_run();

  EXPECT_EQ(cache_.size(), 1U);
}

TEST_F(MaterialCacheTest, ParsesAgainOnceSomethingExpiredOrTheClockWentBack) {
  cache_.begin_run();
  get("a", 500);
  cache_.end_run();
  cache_.begin_run();
  get("a", 1001);
  cache_.end_run();
  EXPECT_EQ(parsed_, 2);
  cache_.begin_run();
  get("a", 1002);
  cache_.end_run();
  EXPECT_EQ(parsed_, 2);
  cache_.begin_run();
  get("a", 400);
  cache_.end_run();

  EXPECT_EQ(parsed_, 3);
}

}  // namespace
}  // namespace handfast::translate
