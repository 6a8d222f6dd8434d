#include "controller/serving/request_head.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::serving {
namespace {

constexpr const char* kPost = "POST /validate?timeout=5s HTTP/1.1\r\nHost: a\r\n";

TEST(RequestHead, IsTakenApart) {
  const auto head = parse_request_head(std::string(kPost) + "Content-Length: 12\r\n\r\n");

  ASSERT_TRUE(head) << head.error();
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->path, "/validate");
  EXPECT_TRUE(head->has_length);
  EXPECT_EQ(head->length, 12U);
  EXPECT_FALSE(head->closes);
  EXPECT_FALSE(head->is_chunked);
}

TEST(RequestHead, SaysWhetherTheConnectionGoesOn) {
  EXPECT_TRUE(parse_request_head("GET / HTTP/1.0\r\n\r\n")->closes);
  EXPECT_TRUE(parse_request_head(std::string(kPost) + "CONNECTION: te, Close\r\n\r\n")->closes);
  EXPECT_FALSE(parse_request_head(std::string(kPost) + "Connection: closed\r\n\r\n")->closes);
  EXPECT_TRUE(
      parse_request_head(std::string(kPost) + "Expect: 100-Continue\r\n\r\n")->expects_continue);
  EXPECT_TRUE(
      parse_request_head(std::string(kPost) + "Transfer-Encoding: chunked\r\n\r\n")->is_chunked);
}

TEST(RequestHead, RefusesWhatTwoParsersCouldReadDifferently) {
  for (const char* bad :
       {"GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "",
        "GET /",
        "GET / HTTP/1.1\r\n\r\nmore\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n"}) {
    EXPECT_FALSE(parse_request_head(bad)) << bad;
  }
}

}  // namespace
}  // namespace handfast::serving
