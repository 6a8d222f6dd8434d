#include "controller/translate/names.h"

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

TEST(IsHost, TakesNamesAndOneWildcardInFront) {
  for (const char* good : {"shop.example", "*.shop.example", "shop", "a-b.c1"}) {
    EXPECT_TRUE(is_host(good)) << good;
  }
  for (const char* bad : {"", "*", "*.", "a.*.b", "*a.b", "10.0.0.1", "shop.example:80", "Shop",
                          "shop_1.example", "shop.example.", "a..b", "shop/x"}) {
    EXPECT_FALSE(is_host(bad)) << bad;
  }
}

TEST(IsThisMachine, KnowsItsNamesAndAddresses) {
  for (const char* own : {"localhost", "LOCALHOST", "api.localhost", "127.0.0.1", "127.9.9.9",
                          "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_this_machine(own)) << own;
  }
  for (const char* other : {"localhost.example", "10.0.0.1", "fd00::1", "127.example", ""}) {
    EXPECT_FALSE(is_this_machine(other)) << other;
  }
}

TEST(EndsInNumber, SeesWhatAResolverTakesForAnAddress) {
  EXPECT_TRUE(ends_in_number("127.1"));
  EXPECT_TRUE(ends_in_number("2130706433"));
  EXPECT_TRUE(ends_in_number("0x7f.0x1"));
  EXPECT_FALSE(ends_in_number("api1.shop"));
  EXPECT_FALSE(ends_in_number(""));
}

TEST(IsDnsName, TakesAnyCaseAndUnderscores) {
  EXPECT_TRUE(is_dns_name("Api_1.shop"));
  EXPECT_FALSE(is_dns_name("api..shop"));
  EXPECT_FALSE(is_dns_name("-api.shop"));
  EXPECT_FALSE(is_dns_name("api.shop\n"));
}

}  // namespace
}  // namespace handfast::translate
