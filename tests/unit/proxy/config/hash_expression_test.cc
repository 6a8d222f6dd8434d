#include "proxy/config/hash_expression.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handfast::config {
namespace {

std::vector<HashPart> parts(std::string_view text) {
  const auto expression = parse_hash_expression(text);
  EXPECT_TRUE(expression.has_value()) << text;
  return expression ? expression->parts : std::vector<HashPart>{};
}

std::string refusal(std::string_view text) {
  const auto expression = parse_hash_expression(text);
  EXPECT_FALSE(expression.has_value()) << text;
  if (expression) return {};
  EXPECT_EQ(expression.error().reason, Reason::InvalidValue);
  return expression.error().detail;
}

using Parts = std::vector<HashPart>;

TEST(HashExpression, TakesTheVariablesThatRequestsDifferBy) {
  EXPECT_EQ(parts("$request_uri"), (Parts{{HashVariable::RequestUri, ""}}));
  EXPECT_EQ(parts("$uri"), (Parts{{HashVariable::Uri, ""}}));
  EXPECT_EQ(parts("$host"), (Parts{{HashVariable::Host, ""}}));
  EXPECT_EQ(parts("$server_name"), (Parts{{HashVariable::ServerName, ""}}));
  EXPECT_EQ(parts("$remote_addr"), (Parts{{HashVariable::RemoteAddr, ""}}));
  EXPECT_EQ(parts("$binary_remote_addr"), (Parts{{HashVariable::RemoteAddr, ""}}));
  EXPECT_EQ(parts("$scheme"), (Parts{{HashVariable::Scheme, ""}}));
  EXPECT_EQ(parts("$request_method"), (Parts{{HashVariable::RequestMethod, ""}}));
  EXPECT_EQ(parts("$namespace"), (Parts{{HashVariable::Constant, ""}}));
}

TEST(HashExpression, TakesArgumentsFieldsAndCookiesByTheirNames) {
  EXPECT_EQ(parts("$arg_user_id"), (Parts{{HashVariable::Argument, "user_id"}}));
  EXPECT_EQ(parts("$http_x_tenant"), (Parts{{HashVariable::Field, "x-tenant"}}));
  EXPECT_EQ(parts("$cookie_sid"), (Parts{{HashVariable::Cookie, "sid"}}));
}

TEST(HashExpression, TakesNamesInAnyCase) {
  EXPECT_EQ(parts("$Request_URI"), parts("$request_uri"));
  EXPECT_EQ(parts("$HTTP_X_Tenant"), parts("$http_x_tenant"));
}

TEST(HashExpression, MixesLiteralsAndBothFormsOfVariables) {
  const Parts expected{{HashVariable::Literal, "v1:"},
                       {HashVariable::Host, ""},
                       {HashVariable::Literal, "name/"},
                       {HashVariable::Argument, "user"},
                       {HashVariable::Uri, ""}};

  EXPECT_EQ(parts("v1:${host}name/$arg_user$uri"), expected);
  EXPECT_EQ(parts("one"), (Parts{{HashVariable::Literal, "one"}}));
  EXPECT_EQ(parts("}{"), (Parts{{HashVariable::Literal, "}{"}}));
}

TEST(HashExpression, RefusesAVariableThatItDoesNotKnowAndNamesIt) {
  EXPECT_NE(refusal("$request_uri$ssl_session_id").find("$ssl_session_id"), std::string::npos);
  EXPECT_NE(refusal("${upstream_addr}").find("$upstream_addr"), std::string::npos);
  EXPECT_NE(refusal("$1").find("$1"), std::string::npos);
  refusal("$arg_");
  refusal("$http_");
  refusal("$hostname");  // longer than a name that is known
}

TEST(HashExpression, RefusesADollarWithoutAName) {
  refusal("$");
  refusal("price$");
  refusal("$-x");
  refusal("$$host");
  refusal("${}");
  refusal("${host");
  refusal("${ho st}");
}

TEST(HashExpression, RefusesNothingAndTooMuch) {
  refusal("");
  EXPECT_EQ(parts(std::string(kMaxHashExpression, 'x')).size(), 1u);
  refusal(std::string(kMaxHashExpression + 1, 'x'));
}

}  // namespace
}  // namespace handfast::config
