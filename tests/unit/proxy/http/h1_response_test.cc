#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "proxy/http/h1_parser.h"
#include "tests/unit/proxy/http/h1_outcome.h"

namespace handfast::http {
namespace {

using std::string_literals::operator""s;

// Keeps the bytes that the head's views point into.
struct Parsed {
  std::string bytes;
  ResponseHead head;
  ParseResult result;
};

Parsed response(std::string_view bytes, std::string_view method = "GET") {
  Parsed parsed;
  parsed.bytes = bytes;
  const Outcome outcome = outcome_of(ResponseSide{{}, method}, parsed.bytes);
  EXPECT_EQ(outcome.status, ParseStatus::Complete) << outcome << bytes;
  parsed.result = H1ResponseParser().parse(parsed.bytes, method, parsed.head);
  return parsed;
}

// A good response but for these fields.
void refuse_fields(std::string_view fields) {
  const std::string bytes = std::string("HTTP/1.1 200 OK\r\n").append(fields).append("\r\n\r\n");
  const Outcome outcome = outcome_of(ResponseSide{}, bytes);
  EXPECT_EQ(outcome.status, ParseStatus::Bad) << bytes;
  EXPECT_NE(outcome.error, "") << bytes;
}

void refuse_line(std::string_view line) {
  const std::string bytes = std::string(line).append("\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(outcome_of(ResponseSide{}, bytes).status, ParseStatus::Bad) << bytes;
}

TEST(H1ResponseParser, ReadsStatusReasonAndFields) {
  const Parsed parsed =
      response("HTTP/1.1 404 Not \t\xc3\xa9\r\nContent-Length: 3\r\nServer: x\r\n\r\nabc");

  EXPECT_EQ(parsed.head.status, 404);
  EXPECT_EQ(parsed.head.reason, "Not \t\xc3\xa9");
  EXPECT_EQ(parsed.head.framing, Framing::Length);
  EXPECT_EQ(parsed.head.content_length, 3U);
  EXPECT_EQ(parsed.head.headers.items()[1].id, HeaderId::Server);
  EXPECT_EQ(parsed.result.consumed, parsed.bytes.size() - 3);
  EXPECT_TRUE(parsed.head.keep_alive);
}

TEST(H1ResponseParser, TakesAnEmptyReasonWithAndWithoutItsBlank) {
  EXPECT_EQ(response("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").head.reason, "");
  EXPECT_EQ(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").head.reason, "");
}

TEST(H1ResponseParser, ReadsUntilCloseWithoutFraming) {
  const Parsed parsed = response("HTTP/1.1 200 OK\r\n\r\n");

  EXPECT_EQ(parsed.head.framing, Framing::UntilClose);
  EXPECT_FALSE(parsed.head.keep_alive);
}

TEST(H1ResponseParser, ReadsChunked) {
  const Parsed parsed = response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

  EXPECT_EQ(parsed.head.framing, Framing::Chunked);
  EXPECT_TRUE(parsed.head.keep_alive);
}

TEST(H1ResponseParser, KeepsAliveByVersionAndConnection) {
  const std::string_view length = "Content-Length: 0\r\n\r\n";
  EXPECT_FALSE(response("HTTP/1.0 200 OK\r\n"s.append(length)).head.keep_alive);
  EXPECT_TRUE(
      response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"s.append(length)).head.keep_alive);
  EXPECT_FALSE(
      response("HTTP/1.1 200 OK\r\nConnection: a, close\r\n"s.append(length)).head.keep_alive);
}

TEST(H1ResponseParser, HasNoBodyWhereHttpAllowsNone) {
  const std::string_view fields = "\r\nContent-Length: 5\r\n\r\n";
  EXPECT_EQ(response("HTTP/1.1 100 C"s.append(fields)).head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 199 C"s.append(fields)).head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 204 N"s.append(fields)).head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 304 N"s.append(fields)).head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 200 OK"s.append(fields), "HEAD").head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n", "HEAD").head.framing, Framing::None);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD").head.framing,
            Framing::None);
}

TEST(H1ResponseParser, ReusesAConnectionAfterAnAnswerWithoutABody) {
  EXPECT_TRUE(response("HTTP/1.1 204 N\r\n\r\n").head.keep_alive);
  EXPECT_TRUE(response("HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n").head.keep_alive);
  EXPECT_TRUE(response("HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n").head.keep_alive);
  EXPECT_TRUE(response("HTTP/1.1 200 N\r\nContent-Length: 5\r\n\r\n", "HEAD").head.keep_alive);
  EXPECT_TRUE(response("HTTP/1.1 200 N\r\n\r\n", "HEAD").head.keep_alive);
}

TEST(H1ResponseParser, DoesNotReuseAConnectionThatAnnouncedABodyWhereNoneCanBe) {
  EXPECT_FALSE(response("HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n").head.keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n").head.keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n").head.keep_alive);
}

TEST(H1ResponseParser, ReadsTheFinalHeadAfterAnInterimOne) {
  const std::string bytes =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
  H1ResponseParser parser;
  ResponseHead head;
  const ParseResult interim = parser.parse(bytes, "POST", head);
  ASSERT_EQ(interim.status, ParseStatus::Complete);
  ASSERT_EQ(head.status, 100);
  parser.reset();

  const ParseResult last = parser.parse(std::string_view(bytes).substr(interim.consumed), "", head);

  EXPECT_EQ(last.status, ParseStatus::Complete);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.framing, Framing::Length);
}

TEST(H1ResponseParser, DistinguishesHeadByCase) {
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "head").head.framing,
            Framing::Length);
}

TEST(H1ResponseParser, RefusesOtherStatusLines) {
  refuse_line("HTTP/1.1 099 x");
  refuse_line("HTTP/1.1 000 x");
  refuse_line("HTTP/1.1 600 x");
  refuse_line("HTTP/1.1 20 x");
  refuse_line("HTTP/1.1 2000 x");
  refuse_line("HTTP/1.1 2x0 x");
  refuse_line("HTTP/1.1 +20 x");
  refuse_line("HTTP/1.1  200 x");
  refuse_line("HTTP/1.1\t200 x");
  refuse_line("HTTP/1.1 200\tx");
  refuse_line("HTTP/1.1200 x");
  refuse_line("HTTP/1.1");
  refuse_line("HTTP/2.0 200 x");
  refuse_line("HTTP/2 200 x");
  refuse_line("HTTP/1.2 200 x");
  refuse_line("HTTP/0.9 200 x");
  refuse_line("http/1.1 200 x");
  refuse_line("ICY 200 x");
  refuse_line(" HTTP/1.1 200 x");
  refuse_line("\r\nHTTP/1.1 200 x");
  refuse_line("HTTP/1.1 200 a\rb");
  refuse_line("HTTP/1.1 200 a\x01");
  refuse_line("HTTP/1.1 200 a\0b"s);
  refuse_line("HTTP/1.1 200 a\x7f");
  refuse_line("HTTP/1.1 200 OK\nA: b");
  refuse_line("220 mail.example ESMTP");
}

TEST(H1ResponseParser, RefusesBadFields) {
  refuse_fields("A: b\n");
  refuse_fields("A: b\rC: d");
  refuse_fields("A : b");
  refuse_fields(" A: b");
  refuse_fields("A: b\r\n c");
  refuse_fields(": b");
  refuse_fields("A");
  refuse_fields("A: \0"s);
  refuse_fields("A\xc3\xa9: b");
  refuse_fields("A: b\x1b");
  refuse_fields("Connection: a b");
}

TEST(H1ResponseParser, RefusesUnclearLengths) {
  refuse_fields("Content-Length: 5\r\nTransfer-Encoding: chunked");
  refuse_fields("Transfer-Encoding: chunked\r\nContent-Length: 5");
  refuse_fields("Content-Length: 5\r\nContent-Length: 5");
  refuse_fields("Content-Length: 5, 5");
  refuse_fields("Content-Length:");
  refuse_fields("Content-Length: +5");
  refuse_fields("Content-Length: 9223372036854775808");
  refuse_fields("Transfer-Encoding: gzip, chunked");
  refuse_fields("Transfer-Encoding: gzip");
  refuse_fields("Transfer-Encoding: identity");
  refuse_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked");
}

TEST(H1ResponseParser, RefusesUnclearLengthsEvenWhereThereIsNoBody) {
  const std::string both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";

  EXPECT_EQ(outcome_of(ResponseSide{{}, "HEAD"}, "HTTP/1.1 200 OK\r\n" + both).status,
            ParseStatus::Bad);
  EXPECT_EQ(outcome_of(ResponseSide{}, "HTTP/1.1 304 N\r\n" + both).status, ParseStatus::Bad);
}

TEST(H1ResponseParser, RefusesTransferEncodingInHttp10) {
  EXPECT_EQ(
      outcome_of(ResponseSide{}, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").status,
      ParseStatus::Bad);
}

TEST(H1ResponseParser, RefusesHeadsAndLinesAboveTheLimits) {
  const std::string bytes = "HTTP/1.1 200 " + std::string(50, 'r') + "\r\nA: b\r\n\r\n";

  EXPECT_EQ(outcome_of(ResponseSide{{.head_bytes = bytes.size() - 1}}, bytes).status,
            ParseStatus::Bad);
  EXPECT_EQ(outcome_of(ResponseSide{{.line_bytes = 62}}, bytes).status, ParseStatus::Bad);
  EXPECT_EQ(outcome_of(ResponseSide{{.head_bytes = bytes.size(), .line_bytes = 63}}, bytes).status,
            ParseStatus::Complete);
}

TEST(H1ResponseParser, RefusesTooManyFields) {
  std::string fields = "A: b";
  for (std::size_t i = 0; i < kMaxHeaders; ++i) fields.append("\r\nA: b");

  refuse_fields(fields);
}

TEST(H1ResponseParser, RefusesAPeerThatSpeaksSomethingElseAtItsFirstByte) {
  ResponseHead head;

  EXPECT_EQ(H1ResponseParser().parse("\x15\x03\x01", "GET", head).status, ParseStatus::Bad);
  EXPECT_EQ(H1ResponseParser().parse("S", "GET", head).status, ParseStatus::Bad);
  EXPECT_EQ(H1ResponseParser().parse("HTT", "GET", head).status, ParseStatus::Incomplete);
}

}  // namespace
}  // namespace handfast::http
