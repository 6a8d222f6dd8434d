#include "proxy/server/status_query.h"

#include <gtest/gtest.h>

namespace handfast::server {
namespace {

TEST(StatusQuery, AsksForTheFirstFiftyOfAllByItself) {
  const auto query = parse_status_query("");

  ASSERT_TRUE(query);
  EXPECT_EQ(query->text, "");
  EXPECT_FALSE(query->problems_only);
  EXPECT_EQ(query->offset, 0u);
  EXPECT_EQ(query->limit, 50u);
}

TEST(StatusQuery, TakesEachParameter) {
  const auto query = parse_status_query("q=Shop%2Forders+a&show=problems&offset=100&limit=500");

  ASSERT_TRUE(query);
  EXPECT_EQ(query->text, "shop/orders a");
  EXPECT_TRUE(query->problems_only);
  EXPECT_EQ(query->offset, 100u);
  EXPECT_EQ(query->limit, 500u);
}

TEST(StatusQuery, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"x=1", "q=%", "q=%4", "q=%zz", "show=", "show=some", "offset=-1", "offset=", "offset=1x",
        "limit=0", "limit=501", "limit=99999999999999999999", "q=a&q=a", "Q=a", "&q=a"}) {
    EXPECT_FALSE(parse_status_query(text)) << text;
  }
  EXPECT_FALSE(parse_status_query("q=" + std::string(StatusQuery::kMostText + 1, 'a')));
}

}  // namespace
}  // namespace handfast::server
