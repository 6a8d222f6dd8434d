#include "proxy/upstream/hash_key.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace handfast::upstream {
namespace {

class HashKeyTest : public ::testing::Test {
 protected:
  HashKeyTest() {
    head_.method = "GET";
    head_.target = "/Shop/../cart?User=7&user=8&flag&empty=";
    head_.path = "/Shop/../cart";
    head_.query = "User=7&user=8&flag&empty=";
    head_.authority = "Shop.Example:8443";
    head_.host = "Shop.Example";
    head_.headers.add({"X-Tenant", "blue"});
    head_.headers.add({"Cookie", "theme=dark; SID=abc"});
    head_.headers.add({"Cookie", "sid=later; other=1"});
  }

  [[nodiscard]] std::uint64_t hash(std::string_view expression) const {
    const auto parsed = config::parse_request_expression(expression);
    EXPECT_TRUE(parsed.has_value()) << expression;
    return hash_key(*parsed, facts());
  }
  // What the expression comes to, said by a literal.
  [[nodiscard]] bool is(std::string_view expression, std::string_view value) const {
    config::RequestExpression literal{{{config::RequestVariable::Literal, std::string(value)}}};
    return hash(expression) == hash_key(literal, facts());
  }
  [[nodiscard]] RequestFacts facts() const {
    return {.head = head_,
            .path = "/cart",
            .server_name = "*.example",
            .client = "198.51.100.7",
            .https = true};
  }

  http::RequestHead head_;
};

TEST_F(HashKeyTest, HasTheValuesOfNginx) {
  EXPECT_TRUE(is("$request_uri", "/Shop/../cart?User=7&user=8&flag&empty="));
  EXPECT_TRUE(is("$uri", "/cart"));
  EXPECT_TRUE(is("$args", "User=7&user=8&flag&empty="));
  EXPECT_TRUE(is("$uri$is_args$args", "/cart?User=7&user=8&flag&empty="));
  EXPECT_TRUE(is("$host", "shop.example"));
  EXPECT_TRUE(is("$server_name", "*.example"));
  EXPECT_TRUE(is("$remote_addr", "198.51.100.7"));
  EXPECT_EQ(hash("$binary_remote_addr"), hash("$remote_addr"));
  EXPECT_TRUE(is("$scheme://$http_host", "https://Shop.Example:8443"));
  EXPECT_TRUE(is("$request_method", "GET"));
}

TEST_F(HashKeyTest, TakesTheFirstArgumentOfANameInAnyCase) {
  EXPECT_TRUE(is("$arg_user", "7"));
  EXPECT_TRUE(is("x$arg_use$arg_user", "x7"));  // "use" is no argument
  EXPECT_EQ(hash("$arg_flag"), kNoHash);
  EXPECT_EQ(hash("$arg_empty"), kNoHash);
}

TEST_F(HashKeyTest, TakesTheFirstCookieOfANameInAnyCase) {
  EXPECT_TRUE(is("$cookie_sid", "abc"));
  EXPECT_TRUE(is("$cookie_other", "1"));
  EXPECT_EQ(hash("$cookie_si"), kNoHash);
}

TEST_F(HashKeyTest, JoinsTheFieldsOfAName) {
  EXPECT_TRUE(is("$http_x_tenant", "blue"));
  head_.headers.add({"x-tenant", "green"});
  EXPECT_TRUE(is("$http_x_tenant", "blue, green"));
  EXPECT_TRUE(is("$http_cookie", "theme=dark; SID=abc; sid=later; other=1"));
  EXPECT_EQ(hash("$http_x_tenants"), kNoHash);
}

TEST_F(HashKeyTest, StringsPartsTogether) {
  EXPECT_TRUE(is("v1-${http_x_tenant}/$arg_user", "v1-blue/7"));
}

TEST_F(HashKeyTest, HasNoKeyWhenEveryVariableIsEmpty) {
  EXPECT_EQ(hash("v1-$cookie_none$http_none"), kNoHash);
  EXPECT_EQ(hash("$namespace$cookie_none"), kNoHash);
  EXPECT_NE(hash("$cookie_none$host"), kNoHash);
}

TEST_F(HashKeyTest, IsOneKeyForAllWithoutVariables) {
  EXPECT_NE(hash("all"), kNoHash);
  EXPECT_NE(hash("$service_name"), kNoHash);
}

// Another value would send every session elsewhere at an upgrade.
TEST_F(HashKeyTest, StaysTheSameFromVersionToVersion) {
  EXPECT_EQ(hash("all"), 7122564994481307360u);
}

TEST_F(HashKeyTest, TellsKeysApartThatDifferByOneCharacter) {
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10'000; ++i) {
    const std::string target = "/" + std::to_string(i);
    head_.target = target;
    seen.insert(hash("$request_uri"));
  }

  EXPECT_EQ(seen.size(), 10'000u);
}

}  // namespace
}  // namespace handfast::upstream
