#include "controller/translate/front_tls.h"

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

TEST(Covers, TakesAWildcardForExactlyOneLabel) {
  const std::vector<std::string> sans{"IP:10.0.0.1", "DNS:*.Shop.example"};

  EXPECT_TRUE(covers(sans, "a.shop.example"));
  EXPECT_FALSE(covers(sans, "shop.example"));
  EXPECT_FALSE(covers(sans, "a.b.shop.example"));
  EXPECT_FALSE(covers(sans, ".shop.example"));
  EXPECT_FALSE(covers(sans, "10.0.0.1"));
}

TEST(Covers, AWildcardHostIsCoveredByTheSameWildcardOnly) {
  EXPECT_TRUE(covers({"DNS:*.shop.example"}, "*.shop.example"));
  EXPECT_FALSE(covers({"DNS:a.shop.example"}, "*.shop.example"));
  EXPECT_FALSE(covers({"DNS:*.example"}, "*.shop.example"));
}

TEST(Covers, NothingCoversWithoutNames) { EXPECT_FALSE(covers({}, "shop.example")); }

}  // namespace
}  // namespace handfast::translate
