#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/http/h1_parser.h"
#include "tests/unit/proxy/http/h1_outcome.h"

namespace handfast::http {
namespace {

// Keeps the bytes that the head's views point into.
struct Parsed {
  std::string bytes;
  RequestHead head;
  ParseResult result;
};

void expect_complete(Parsed& parsed) {
  const Outcome outcome = outcome_of(RequestSide{}, parsed.bytes);
  ASSERT_EQ(outcome.status, ParseStatus::Complete) << outcome;
  parsed.result = H1RequestParser().parse(parsed.bytes, parsed.head);
}

// A request with this line and these fields, after "Host: shop.example".
Parsed request(std::string_view line, std::string_view fields = "") {
  Parsed parsed;
  parsed.bytes.append(line).append("\r\nHost: shop.example\r\n").append(fields).append("\r\n");
  expect_complete(parsed);
  return parsed;
}

Parsed raw_request(std::string_view bytes) {
  Parsed parsed;
  parsed.bytes = bytes;
  expect_complete(parsed);
  return parsed;
}

TEST(H1RequestParser, SplitsTheTargetIntoPathAndQuery) {
  const Parsed parsed = request("GET /a/b?c=d&e?f HTTP/1.1");

  EXPECT_EQ(parsed.head.method, "GET");
  EXPECT_EQ(parsed.head.target, "/a/b?c=d&e?f");
  EXPECT_EQ(parsed.head.path, "/a/b");
  EXPECT_EQ(parsed.head.query, "c=d&e?f");
  EXPECT_EQ(parsed.head.minor_version, 1);
}

TEST(H1RequestParser, ConsumesTheHeadAndNothingBehindIt) {
  const Parsed parsed =
      raw_request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\n");

  EXPECT_EQ(parsed.result.consumed, parsed.bytes.find("body"));
  EXPECT_EQ(parsed.head.framing, Framing::Length);
  EXPECT_EQ(parsed.head.content_length, 4U);
}

TEST(H1RequestParser, WantsMoreUntilTheEmptyLine) {
  RequestHead head;
  H1RequestParser parser;

  EXPECT_EQ(parser.parse("", head).status, ParseStatus::Incomplete);
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\n", head).status, ParseStatus::Incomplete);
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\n\r", head).status, ParseStatus::Incomplete);
}

TEST(H1RequestParser, LeavesTheHeadEmptyUnlessComplete) {
  RequestHead head;
  const std::string nothing = describe(head);

  ASSERT_EQ(H1RequestParser().parse("GET / HTTP/1.1\r\nHost", head).status,
            ParseStatus::Incomplete);
  EXPECT_EQ(describe(head), nothing);
  ASSERT_EQ(H1RequestParser().parse("GET / HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n", head).status,
            ParseStatus::Bad);
  EXPECT_EQ(describe(head), nothing);
}

TEST(H1RequestParser, ReadsTheNextMessageAfterReset) {
  RequestHead head;
  H1RequestParser parser;
  ASSERT_EQ(parser.parse("GET /1 HTTP/1.1\r\nHo", head).status, ParseStatus::Incomplete);
  ASSERT_EQ(parser.parse("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", head).status, ParseStatus::Complete);
  parser.reset();

  ASSERT_EQ(parser.parse("GET /2 HTTP/1.1\r\nHost: b\r\nX-A: b\r\n\r\n", head).status,
            ParseStatus::Complete);

  EXPECT_EQ(head.target, "/2");
  EXPECT_EQ(head.host, "b");
  EXPECT_EQ(head.headers.items().size(), 2U);
}

TEST(H1RequestParser, NothingOfAnEarlierMessageStaysInTheHead) {
  RequestHead head;
  H1RequestParser parser;
  ASSERT_EQ(parser
                .parse("POST /?q HTTP/1.1\r\nHost: a:1\r\nContent-Length: 9\r\nExpect: "
                       "100-continue\r\nConnection: close\r\n\r\n",
                       head)
                .status,
            ParseStatus::Complete);
  parser.reset();

  ASSERT_EQ(parser.parse("GET / HTTP/1.0\r\n\r\n", head).status, ParseStatus::Complete);

  RequestHead fresh;
  ASSERT_EQ(H1RequestParser().parse("GET / HTTP/1.0\r\n\r\n", fresh).status, ParseStatus::Complete);
  EXPECT_EQ(describe(head), describe(fresh));
}

TEST(H1RequestParser, TrimsBlanksAroundValuesAndKeepsThoseInside) {
  const Parsed parsed = request("GET / HTTP/1.1", "A: \t b\t c \t\r\nB:\r\nC: \t \r\nD:e\r\n");

  const auto items = parsed.head.headers.items();
  ASSERT_EQ(items.size(), 5U);
  EXPECT_EQ(items[1].value, "b\t c");
  EXPECT_EQ(items[2].value, "");
  EXPECT_EQ(items[3].value, "");
  EXPECT_EQ(items[4].value, "e");
}

TEST(H1RequestParser, AllowsBytesAbove127InValues) {
  const Parsed parsed = request("GET / HTTP/1.1", "A: caf\xc3\xa9 \x80\xff and a long tail\r\n");

  EXPECT_EQ(parsed.head.headers.items()[1].value, "caf\xc3\xa9 \x80\xff and a long tail");
}

TEST(H1RequestParser, TakesEveryTokenCharacterInNamesAndMethods) {
  const Parsed parsed = request("!#$%&'*+-.^_`|~ / HTTP/1.1", "!#$%&'*+-.^_`|~09azAZ: x\r\n");

  EXPECT_EQ(parsed.head.method, "!#$%&'*+-.^_`|~");
  EXPECT_EQ(parsed.head.headers.items()[1].name, "!#$%&'*+-.^_`|~09azAZ");
}

TEST(H1RequestParser, RecognisesNamesInAnyCase) {
  const Parsed parsed = request("GET / HTTP/1.1", "cOnTeNt-LeNgTh: 3\r\nX_Forwarded_For: 1\r\n");

  EXPECT_EQ(parsed.head.framing, Framing::Length);
  EXPECT_EQ(parsed.head.headers.items()[2].id, HeaderId::Protected);
}

TEST(H1RequestParser, SkipsTwoEmptyLinesBeforeTheRequest) {
  const Parsed parsed = raw_request("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");

  EXPECT_EQ(parsed.result.consumed, parsed.bytes.size());
}

TEST(H1RequestParser, ReadsHostAndPort) {
  const Parsed parsed = raw_request("GET / HTTP/1.1\r\nHost: Shop.Example:8443\r\n\r\n");

  EXPECT_EQ(parsed.head.authority, "Shop.Example:8443");
  EXPECT_EQ(parsed.head.host, "Shop.Example");
}

TEST(H1RequestParser, TakesANameWithAnEmptyPortForTheName) {
  const Parsed parsed = raw_request("GET / HTTP/1.1\r\nHost: shop.example:\r\n\r\n");

  EXPECT_EQ(parsed.head.authority, "shop.example");
  EXPECT_EQ(parsed.head.host, "shop.example");
}

TEST(H1RequestParser, ReadsAnAddressInBracketsAsHost) {
  const Parsed parsed = raw_request("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");

  EXPECT_EQ(parsed.head.host, "[2001:db8::1]");
}

TEST(H1RequestParser, TurnsAbsoluteFormIntoOriginForm) {
  const Parsed parsed = request("GET HTTPS://Shop.EXAMPLE/a?b HTTP/1.1");

  EXPECT_EQ(parsed.head.target, "/a?b");
  EXPECT_EQ(parsed.head.path, "/a");
  EXPECT_EQ(parsed.head.query, "b");
  EXPECT_EQ(parsed.head.authority, "shop.example");
}

TEST(H1RequestParser, GivesAbsoluteFormWithoutAPathTheRoot) {
  EXPECT_EQ(request("GET http://shop.example HTTP/1.1").head.target, "/");
  EXPECT_EQ(request("GET http://shop.example HTTP/1.1").head.path, "/");
}

TEST(H1RequestParser, GivesOptionsWithoutAPathTheAsterisk) {
  EXPECT_EQ(request("OPTIONS http://shop.example HTTP/1.1").head.target, "*");
}

TEST(H1RequestParser, TakesTheAsteriskForOptions) {
  const Parsed parsed = request("OPTIONS * HTTP/1.1");

  EXPECT_EQ(parsed.head.target, "*");
  EXPECT_EQ(parsed.head.path, "*");
}

TEST(H1RequestParser, LetsHttp10GoWithoutHost) {
  const Parsed parsed = raw_request("GET / HTTP/1.0\r\n\r\n");

  EXPECT_EQ(parsed.head.authority, "");
  EXPECT_EQ(parsed.head.host, "");
  EXPECT_EQ(parsed.head.minor_version, 0);
}

TEST(H1RequestParser, TakesTheAuthorityOfAbsoluteFormInHttp10) {
  const Parsed parsed = raw_request("GET http://a.example:80/ HTTP/1.0\r\n\r\n");

  EXPECT_EQ(parsed.head.authority, "a.example:80");
  EXPECT_EQ(parsed.head.host, "a.example");
}

TEST(H1RequestParser, KeepsAliveByVersionAndConnection) {
  EXPECT_TRUE(request("GET / HTTP/1.1").head.keep_alive);
  EXPECT_FALSE(request("GET / HTTP/1.1", "Connection: x, Close\r\n").head.keep_alive);
  EXPECT_FALSE(request("GET / HTTP/1.0").head.keep_alive);
  EXPECT_TRUE(request("GET / HTTP/1.0", "Connection: Keep-Alive\r\n").head.keep_alive);
}

TEST(H1RequestParser, CloseWinsAcrossConnectionFields) {
  const std::string_view fields = "Connection: close\r\nConnection: keep-alive\r\n";

  EXPECT_FALSE(request("GET / HTTP/1.1", fields).head.keep_alive);
  EXPECT_FALSE(request("GET / HTTP/1.0", fields).head.keep_alive);
}

TEST(H1RequestParser, TakesEmptyElementsInConnection) {
  EXPECT_FALSE(request("GET / HTTP/1.1", "Connection: ,, close ,\r\n").head.keep_alive);
  EXPECT_TRUE(request("GET / HTTP/1.1", "Connection:\r\n").head.keep_alive);
}

TEST(H1RequestParser, HasNoBodyWithoutFraming) {
  EXPECT_EQ(request("POST / HTTP/1.1").head.framing, Framing::None);
}

TEST(H1RequestParser, ReadsChunkedInAnyCase) {
  EXPECT_EQ(request("POST / HTTP/1.1", "Transfer-Encoding: Chunked \r\n").head.framing,
            Framing::Chunked);
}

TEST(H1RequestParser, ReadsTheContentLengthsAtTheEnds) {
  EXPECT_EQ(request("POST / HTTP/1.1", "Content-Length: 0\r\n").head.framing, Framing::Length);
  EXPECT_EQ(request("POST / HTTP/1.1", "Content-Length: 0\r\n").head.content_length, 0U);
  EXPECT_EQ(
      request("POST / HTTP/1.1", "Content-Length: 9223372036854775807\r\n").head.content_length,
      9223372036854775807U);
}

TEST(H1RequestParser, NoticesExpectContinueFromHttp11Only) {
  const std::string_view fields = "Expect: 100-Continue\r\nContent-Length: 1\r\n";

  EXPECT_TRUE(request("POST / HTTP/1.1", fields).head.expect_continue);
  EXPECT_FALSE(request("POST / HTTP/1.0", fields).head.expect_continue);
  EXPECT_FALSE(request("POST / HTTP/1.1").head.expect_continue);
}

TEST(H1RequestParser, TakesAMethodOf32Bytes) {
  EXPECT_EQ(request(std::string(32, 'M') + " / HTTP/1.1").head.method, std::string(32, 'M'));
}

TEST(H1RequestParser, KeepsTheCaseOfTheMethod) {
  EXPECT_EQ(request("get / HTTP/1.1").head.method, "get");
}

TEST(H1RequestParser, TakesAsManyFieldsAsThereIsRoomFor) {
  std::string fields;
  for (std::size_t i = 1; i < kMaxHeaders; ++i) fields.append("A: b\r\n");

  EXPECT_EQ(request("GET / HTTP/1.1", fields).head.headers.items().size(), kMaxHeaders);
}

TEST(H1RequestParser, TakesALineAndAHeadExactlyAtTheirLimits) {
  const std::string line = "GET /" + std::string(30, 'a') + " HTTP/1.1";
  const std::string bytes = line + "\r\nHost: a\r\n\r\n";
  const RequestSide side{{.head_bytes = bytes.size(), .line_bytes = line.size()}};

  EXPECT_EQ(outcome_of(side, bytes).status, ParseStatus::Complete);
}

}  // namespace
}  // namespace handfast::http
