#include "controller/translate/options.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::translate {
namespace {

TEST(MatchesPattern, TakesAStarForAnyRunWithoutASlash) {
  EXPECT_TRUE(matches_pattern("shop/orders", "shop/orders"));
  EXPECT_TRUE(matches_pattern("shop/*", "shop/orders"));
  EXPECT_TRUE(matches_pattern("*/legacy-*", "shop/legacy-1"));
  EXPECT_TRUE(matches_pattern("s*p/o*r*s", "shop/orders"));
  EXPECT_TRUE(matches_pattern("*", "shop"));
  EXPECT_TRUE(matches_pattern("shop*", "shop"));
  EXPECT_FALSE(matches_pattern("*", "shop/orders"));
  EXPECT_FALSE(matches_pattern("shop/orders", "shop/orders-2"));
  EXPECT_FALSE(matches_pattern("shop*", "shop/orders"));
  EXPECT_FALSE(matches_pattern("shop/*x", "shop/orders"));
  EXPECT_FALSE(matches_pattern("", "shop"));
}

TEST(MatchesPattern, EndsSoonWithManyStars) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(matches_pattern(pattern + "b", std::string(2000, 'a')));
}

TEST(ParseNamespacedName, TakesExactlyTwoNames) {
  const auto good = parse_namespaced_name("shop/orders.tls");
  ASSERT_TRUE(good.has_value()) << good.error();
  EXPECT_EQ(good->ns, "shop");
  EXPECT_EQ(good->name, "orders.tls");
  for (const char* bad : {"", "orders", "/orders", "shop/", "a/b/c", "shop/..", "Shop/a", "a /b"}) {
    EXPECT_FALSE(parse_namespaced_name(bad).has_value()) << bad;
  }
}

TEST(ParseDefaultCa, TakesItsThreeForms) {
  EXPECT_EQ(parse_default_ca("system")->kind, DefaultCa::Kind::System);
  EXPECT_EQ(parse_default_ca("secret:infra/ca")->kind, DefaultCa::Kind::Secret);
  const auto config_map = parse_default_ca("configmap:infra/ca");
  ASSERT_TRUE(config_map.has_value()) << config_map.error();
  EXPECT_EQ(config_map->kind, DefaultCa::Kind::ConfigMap);
  EXPECT_EQ(config_map->ref, (NamespacedName{"infra", "ca"}));
  for (const char* bad : {"", "infra/ca", "secret:ca", "file:/etc/ca", "System"}) {
    EXPECT_FALSE(parse_default_ca(bad).has_value()) << bad;
  }
}

TEST(ParseFloor, TakesPatternMinimumVersionAndCrl) {
  const auto whole = parse_floor("bank-*=mutual,min-version=1.3,crl");
  ASSERT_TRUE(whole.has_value()) << whole.error();
  EXPECT_EQ(whole->namespace_pattern, "bank-*");
  EXPECT_EQ(whole->minimum, MinimumTls::Mutual);
  EXPECT_EQ(whole->least_version, config::TlsVersion::Tls13);
  EXPECT_TRUE(whole->crl_required);

  const auto plain = parse_floor("server");
  ASSERT_TRUE(plain.has_value()) << plain.error();
  EXPECT_EQ(plain->namespace_pattern, "*");
  EXPECT_EQ(plain->minimum, MinimumTls::Server);
  EXPECT_FALSE(plain->crl_required);
}

TEST(ParseFloor, RefusesWhatItDoesntKnow) {
  for (const char* bad :
       {"", "all", "=server", "bank=", "server,", "server,min-version=1.1", "server,CRL"}) {
    EXPECT_FALSE(parse_floor(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace handfast::translate
