#include <cctype>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "proxy/http/fields.h"
#include "proxy/http/h1_parser.h"
#include "tests/unit/proxy/http/h1_outcome.h"

namespace handfast::http {
namespace {

using std::string_literals::operator""s;

constexpr std::string_view kGood = "GET / HTTP/1.1\r\nHost: a\r\n";

void expect_refused(std::string_view input, int http_status, H1Limits limits = {}) {
  const Outcome outcome = outcome_of(RequestSide{limits}, input);
  EXPECT_EQ(outcome.status, ParseStatus::Bad) << input;
  EXPECT_EQ(outcome.http_status, http_status) << input << "\n" << outcome;
  EXPECT_NE(outcome.error, "") << input;
  EXPECT_NE(outcome.error, "head cut short") << input;
}

// A good head but for this field.
void refuse_field(std::string_view field, int http_status = 400) {
  expect_refused(std::string(kGood).append(field).append("\r\n\r\n"), http_status);
}

// A good head but for this first line.
void refuse_line(std::string_view line, int http_status = 400) {
  expect_refused(std::string(line).append("\r\nHost: a\r\n\r\n"), http_status);
}

void refuse_host(std::string_view host) {
  expect_refused(std::string("GET / HTTP/1.1\r\nHost: ").append(host).append("\r\n\r\n"), 400);
}

TEST(H1RequestRefusals, BareLineFeeds) {
  expect_refused("GET / HTTP/1.1\nHost: a\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
  expect_refused("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\nHost: a\n\n", 400);
  expect_refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
  refuse_field("A: b\nC: d");
  refuse_field("A:\nb");
}

TEST(H1RequestRefusals, BareCarriageReturns) {
  refuse_field("A: b\rC: d");
  refuse_field("A: b\r\r\nC: d");
  refuse_field("A:\rb");
  refuse_field("\rA: b");
  refuse_field("A: b\r\n\rX");
  refuse_line("GET /\r HTTP/1.1");
  refuse_line("GET / HTTP/1.1\r");
  refuse_line("\rGET / HTTP/1.1");
  refuse_line("\r\n\rGET / HTTP/1.1");
}

TEST(H1RequestRefusals, ControlBytesInValues) {
  for (int c = 0; c < 0x20; ++c) {
    if (c == '\t' || c == '\r' || c == '\n') continue;
    refuse_field("A: before"s + static_cast<char>(c) + "after and some more");
  }
  refuse_field("A: b\x7f");
  refuse_field("A: \x7f-and-a-tail-that-is-longer-than-a-word");
  refuse_field("A: \0"s);
}

TEST(H1RequestRefusals, BytesThatAreNoTokenInNames) {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool token =
        std::isalnum(c) != 0 ||
        (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string::npos);
    if (token || c == ':' || c == '\n') continue;
    refuse_field("A"s + byte + "B: c");
  }
}

TEST(H1RequestRefusals, BlanksAroundNames) {
  refuse_field("A : b");
  refuse_field("A\t: b");
  refuse_field("Content-Length : 3");
  expect_refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", 400);
}

TEST(H1RequestRefusals, FoldedLines) {
  refuse_field("A: b\r\n c");
  refuse_field("A: b\r\n\tc");
  refuse_field("A: b\r\n ");
  refuse_field("A:\r\n b");
}

TEST(H1RequestRefusals, LinesThatAreNoField) {
  refuse_field(": b");
  refuse_field(":");
  refuse_field("A");
  refuse_field("A b: c");
}

TEST(H1RequestRefusals, RequestLinesOfAnotherForm) {
  refuse_line("GET /");
  refuse_line("GET");
  refuse_line("GET  / HTTP/1.1");
  refuse_line("GET /  HTTP/1.1");
  refuse_line("GET / HTTP/1.1 ");
  refuse_line("GET\t/ HTTP/1.1");
  refuse_line("GET / a HTTP/1.1");
  refuse_line(" GET / HTTP/1.1");
  refuse_line("/ HTTP/1.1");
  refuse_line("G(T / HTTP/1.1");
  refuse_line("GET: / HTTP/1.1");
  refuse_line(std::string(33, 'M') + " / HTTP/1.1");
  refuse_line("\x16\x03\x01\x02");
}

TEST(H1RequestRefusals, MoreThanTwoEmptyLinesBeforeTheRequest) {
  refuse_line("\r\n\r\n\r\nGET / HTTP/1.1");
}

TEST(H1RequestRefusals, OtherVersions) {
  refuse_line("GET / HTTP/2.0", 505);
  refuse_line("PRI * HTTP/2.0", 505);
  refuse_line("GET / HTTP/3.0", 505);
  refuse_line("GET / HTTP/9.9", 505);
  refuse_line("GET / HTTP/0.9");
  refuse_line("GET / HTTP/1.2");
  refuse_line("GET / HTTP/1.9");
  refuse_line("GET / HTTP/1.10");
  refuse_line("GET / HTTP/01.1");
  refuse_line("GET / HTTP/1.");
  refuse_line("GET / HTTP/1,1");
  refuse_line("GET / HTTP/1");
  refuse_line("GET / http/1.1");
  refuse_line("GET / HTTPS/1.1");
  refuse_line("GET / HTTP/-1.1");
}

TEST(H1RequestRefusals, BytesThatMayNotStandInATarget) {
  refuse_line("GET /a#b HTTP/1.1");
  refuse_line("GET /# HTTP/1.1");
  refuse_line("GET /a\tb HTTP/1.1");
  refuse_line("GET /a\x01 HTTP/1.1");
  refuse_line("GET /a\x7f HTTP/1.1");
  refuse_line("GET /caf\xc3\xa9 HTTP/1.1");
  refuse_line("GET /a\0b HTTP/1.1"s);
}

TEST(H1RequestRefusals, TargetsOfAnotherForm) {
  refuse_line("CONNECT a:443 HTTP/1.1");
  refuse_line("CONNECT / HTTP/1.1");
  refuse_line("GET a:443 HTTP/1.1");
  refuse_line("GET a HTTP/1.1");
  refuse_line("GET a/b HTTP/1.1");
  refuse_line("GET * HTTP/1.1");
  refuse_line("options * HTTP/1.1");
  refuse_line("OPTIONS *a HTTP/1.1");
  refuse_line("GET ?a HTTP/1.1");
  refuse_line("GET ../a HTTP/1.1");
}

TEST(H1RequestRefusals, AbsoluteFormsThatAreAnothersOrUnclear) {
  refuse_line("GET http://b/ HTTP/1.1");
  refuse_line("GET http://a:80/ HTTP/1.1");
  refuse_line("GET http://u@a/ HTTP/1.1");
  refuse_line("GET http:///a HTTP/1.1");
  refuse_line("GET http:// HTTP/1.1");
  refuse_line("GET http:/a HTTP/1.1");
  refuse_line("GET http:a HTTP/1.1");
  refuse_line("GET ftp://a/ HTTP/1.1");
  refuse_line("GET ws://a/ HTTP/1.1");
  refuse_line("GET ://a/ HTTP/1.1");
  refuse_line("GET http://a?q HTTP/1.1");
  expect_refused("GET http:///a HTTP/1.0\r\n\r\n", 400);
  expect_refused("GET http://u@a/ HTTP/1.0\r\n\r\n", 400);
  expect_refused("GET http://a/ HTTP/1.1\r\n\r\n", 400);
}

TEST(H1RequestRefusals, HostMissingOrRepeated) {
  expect_refused("GET / HTTP/1.1\r\n\r\n", 400);
  expect_refused("GET / HTTP/1.1\r\nA: b\r\n\r\n", 400);
  refuse_field("Host: a");
  refuse_field("host: b");
  expect_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
}

TEST(H1RequestRefusals, HostsThatAreNoAuthority) {
  refuse_host("");
  refuse_host("a b");
  refuse_host("a,b");
  refuse_host("u@a");
  refuse_host("u:p@a");
  refuse_host("a/b");
  refuse_host("a::");
  refuse_host("a:0");
  refuse_host("a:65536");
  refuse_host("a:8o");
  refuse_host("a:80:80");
  refuse_host("http://a");
  refuse_host("[::1");
  refuse_host("::1");
  refuse_host("a..b");
  refuse_host("a%00");
  refuse_host("a\x80");
  expect_refused("GET / HTTP/1.0\r\nHost:\r\n\r\n", 400);
}

TEST(H1RequestRefusals, ContentLengthsThatAreNoPlainNumber) {
  for (const std::string_view value :
       {"", "+5", "-5", "0x5", "5,5", "5, 5", "5 5", "5;", "5.0", "five", "5\xa0", "\"5\"",
        "9223372036854775808", "18446744073709551616", "99999999999999999999"}) {
    refuse_field(std::string("Content-Length: ").append(value));
  }
}

TEST(H1RequestRefusals, ConflictingLengths) {
  refuse_field("Content-Length: 5\r\nContent-Length: 6");
  refuse_field("Content-Length: 5\r\nContent-Length: 5");
  refuse_field("Content-Length: 5\r\nTransfer-Encoding: chunked");
  refuse_field("Transfer-Encoding: chunked\r\nContent-Length: 5");
  refuse_field("Transfer-Encoding: gzip\r\nContent-Length: 5");
  refuse_field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked");
  refuse_field("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked");
  expect_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

TEST(H1RequestRefusals, TransferCodingsOtherThanChunked) {
  for (const std::string_view value :
       {"", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,", ",chunked",
        "xchunked", "chunkedx", "\"chunked\"", "chunked;q=1", "identity", "chunked\x0b", "chunk"}) {
    refuse_field(std::string("Transfer-Encoding: ").append(value),
                 value.find('\x0b') == std::string_view::npos ? 501 : 400);
  }
}

TEST(H1RequestRefusals, ConnectionFieldsThatAreNoListOfTokens) {
  refuse_field("Connection: \"close\"");
  refuse_field("Connection: keep alive");
  refuse_field("Connection: close;x");
  refuse_field("Connection: a/b");
}

TEST(H1RequestRefusals, TooManyConnectionOptions) {
  std::string options = "a";
  for (std::size_t i = 0; i < kMaxConnectionOptions; ++i) options.append(",a");

  refuse_field("Connection: " + options);
  refuse_field("Connection: " + options.substr(2) + "\r\nConnection: b");
}

TEST(H1RequestRefusals, OtherExpectations) {
  refuse_field("Expect: 200-ok", 417);
  refuse_field("Expect:", 417);
  refuse_field("Expect: 100-continue, x", 417);
  refuse_field("Expect: 100-continue\r\nExpect: x", 417);
}

TEST(H1RequestRefusals, TooManyFields) {
  std::string fields = "A: b";
  for (std::size_t i = 1; i < kMaxHeaders; ++i) fields.append("\r\nA: b");

  refuse_field(fields, 431);
}

TEST(H1RequestRefusals, HeadsAboveTheLimit) {
  const std::string bytes = std::string(kGood) + "A: " + std::string(50, 'b') + "\r\n\r\n";

  expect_refused(bytes, 431, {.head_bytes = bytes.size() - 1});
  expect_refused(bytes.substr(0, bytes.size() - 20), 431, {.head_bytes = bytes.size() - 20});
}

TEST(H1RequestRefusals, RequestLinesAboveTheLimit) {
  const std::string line = "GET /" + std::string(30, 'a') + " HTTP/1.1";
  const H1Limits limits{.line_bytes = line.size() - 1};

  expect_refused(line + "\r\nHost: a\r\n\r\n", 414, limits);
  expect_refused(std::string(100, 'a'), 414, limits);
}

TEST(H1RequestRefusals, ComeAsSoonAsTheFirstLineIsHopeless) {
  RequestHead head;

  EXPECT_EQ(H1RequestParser().parse("\x16", head).http_status, 400);
  EXPECT_EQ(H1RequestParser().parse("GET / HTTP/2.0\r\n", head).http_status, 505);
  EXPECT_EQ(H1RequestParser().parse("GET / HTTP/1.1\r\nA: b\n", head).http_status, 400);
}

}  // namespace
}  // namespace handfast::http
