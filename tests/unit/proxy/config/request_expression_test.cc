#include "proxy/config/request_expression.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handfast::config {
namespace {

std::vector<RequestPart> parts(std::string_view text) {
  const auto expression = parse_request_expression(text);
  EXPECT_TRUE(expression.has_value()) << text;
  return expression ? expression->parts : std::vector<RequestPart>{};
}

std::string refusal(std::string_view text) {
  const auto expression = parse_request_expression(text);
  EXPECT_FALSE(expression.has_value()) << text;
  if (expression) return {};
  EXPECT_EQ(expression.error().reason, Reason::InvalidValue);
  return expression.error().detail;
}

using Parts = std::vector<RequestPart>;

TEST(RequestExpression, TakesTheVariablesThatRequestsDifferBy) {
  EXPECT_EQ(parts("$request_uri"), (Parts{{RequestVariable::RequestUri, ""}}));
  EXPECT_EQ(parts("$uri"), (Parts{{RequestVariable::Uri, ""}}));
  EXPECT_EQ(parts("$host"), (Parts{{RequestVariable::Host, ""}}));
  EXPECT_EQ(parts("$server_name"), (Parts{{RequestVariable::ServerName, ""}}));
  EXPECT_EQ(parts("$remote_addr"), (Parts{{RequestVariable::RemoteAddr, ""}}));
  EXPECT_EQ(parts("$binary_remote_addr"), (Parts{{RequestVariable::RemoteAddr, ""}}));
  EXPECT_EQ(parts("$scheme"), (Parts{{RequestVariable::Scheme, ""}}));
  EXPECT_EQ(parts("$request_method"), (Parts{{RequestVariable::RequestMethod, ""}}));
  EXPECT_EQ(parts("$namespace"), (Parts{{RequestVariable::Constant, ""}}));
}

TEST(RequestExpression, TakesArgumentsFieldsAndCookiesByTheirNames) {
  EXPECT_EQ(parts("$arg_user_id"), (Parts{{RequestVariable::Argument, "user_id"}}));
  EXPECT_EQ(parts("$http_x_tenant"), (Parts{{RequestVariable::Field, "x-tenant"}}));
  EXPECT_EQ(parts("$cookie_sid"), (Parts{{RequestVariable::Cookie, "sid"}}));
}

TEST(RequestExpression, TakesNamesInAnyCase) {
  EXPECT_EQ(parts("$Request_URI"), parts("$request_uri"));
  EXPECT_EQ(parts("$HTTP_X_Tenant"), parts("$http_x_tenant"));
}

TEST(RequestExpression, MixesLiteralsAndBothFormsOfVariables) {
  const Parts expected{{RequestVariable::Literal, "v1:"},
                       {RequestVariable::Host, ""},
                       {RequestVariable::Literal, "name/"},
                       {RequestVariable::Argument, "user"},
                       {RequestVariable::Uri, ""}};

  EXPECT_EQ(parts("v1:${host}name/$arg_user$uri"), expected);
  EXPECT_EQ(parts("one"), (Parts{{RequestVariable::Literal, "one"}}));
  EXPECT_EQ(parts("}{"), (Parts{{RequestVariable::Literal, "}{"}}));
}

TEST(RequestExpression, RefusesAVariableThatItDoesNotKnowAndNamesIt) {
  EXPECT_NE(refusal("$request_uri$ssl_session_id").find("$ssl_session_id"), std::string::npos);
  EXPECT_NE(refusal("${upstream_addr}").find("$upstream_addr"), std::string::npos);
  EXPECT_NE(refusal("$1").find("$1"), std::string::npos);
  refusal("$arg_");
  refusal("$http_");
  refusal("$hostname");  // longer than a name that is known
}

TEST(RequestExpression, HasOtherVariablesInATextThanToHashBy) {
  for (const std::string_view name :
       {"escaped_request_uri", "remote_user", "request_id", "req_id", "pass_access_scheme"}) {
    const std::string text = "$" + std::string(name);
    EXPECT_TRUE(parse_request_expression(text, ExpressionUse::Text)) << name;
    EXPECT_FALSE(parse_request_expression(text, ExpressionUse::Hash)) << name;
  }
  EXPECT_FALSE(parse_request_expression("$service_name", ExpressionUse::Text));
  EXPECT_TRUE(parse_request_expression("$host$http_a$cookie_b$arg_c", ExpressionUse::Text));
}

TEST(RequestExpression, RefusesADollarWithoutAName) {
  refusal("$");
  refusal("price$");
  refusal("$-x");
  refusal("$$host");
  refusal("${}");
  refusal("${host");
  refusal("${ho st}");
}

TEST(RequestExpression, RefusesControlCharacters) {
  refusal(std::string_view("a\0$host", 7));
  refusal("$host\n");
  refusal("\x7f$host");
}

TEST(RequestExpression, RefusesNothingAndTooMuch) {
  refusal("");
  EXPECT_EQ(parts(std::string(kMaxRequestExpression, 'x')).size(), 1u);
  refusal(std::string(kMaxRequestExpression + 1, 'x'));
}

}  // namespace
}  // namespace handfast::config
