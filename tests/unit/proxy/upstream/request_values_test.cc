#include "proxy/upstream/request_values.h"

#include <string>

#include <gtest/gtest.h>

namespace handfast::upstream {
namespace {

struct TextSink {
  std::string text;
  void add(char c) { text.push_back(c); }
  void add(std::string_view more) { text.append(more); }
};

std::string value_of(std::string_view expression, const http::RequestHead& head) {
  const auto parsed = config::parse_request_expression(expression, config::ExpressionUse::Text);
  EXPECT_TRUE(parsed.has_value()) << expression;
  const RequestFacts facts{.head = head,
                           .path = "/a b",
                           .server_name = "shop.example",
                           .client = "192.0.2.1",
                           .request_id = "abc"};
  TextSink sink;
  RequestValues values(sink, facts);
  for (const auto& part : parsed->parts) values.add(part);
  return sink.text;
}

http::RequestHead with(std::string_view name, std::string_view value) {
  http::RequestHead head;
  head.target = "/a?b=c/d&e=\"";
  head.headers.add({name, value});
  return head;
}

TEST(RequestValues, EscapesAWholeTarget) {
  EXPECT_EQ(value_of("rd=$escaped_request_uri", with("a", "b")), "rd=%2Fa%3Fb%3Dc%2Fd%26e%3D%22");
}

TEST(RequestValues, HasTheUserOfBasicCredentials) {
  EXPECT_EQ(value_of("$remote_user", with("authorization", "bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            "Aladdin");
  EXPECT_EQ(value_of("$remote_user", with("Authorization", "Bearer QWxhZGRpbjpvcGVu")), "");
  EXPECT_EQ(value_of("$remote_user", with("Authorization", "Basic ?")), "");
  EXPECT_EQ(value_of("$remote_user", with("X-Authorization", "Basic QWxhZGRpbjpvcGVu")), "");
}

TEST(RequestValues, NeverPutsAControlCharacterIntoAUser) {
  EXPECT_EQ(value_of("$remote_user", with("Authorization", "Basic YQ0KYjpj")), "a");  // a\r\nb:c
}

TEST(RequestValues, HasTheRequestId) { EXPECT_EQ(value_of("$req_id", with("a", "b")), "abc"); }

TEST(PercentEncoder, EncodesAllButTheUnreserved) {
  TextSink sink;
  PercentEncoder(sink).add("a-Z_0.~/ %\xc3");
  EXPECT_EQ(sink.text, "a-Z_0.~%2F%20%25%C3");
}

}  // namespace
}  // namespace handfast::upstream
