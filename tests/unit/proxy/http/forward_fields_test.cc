// Heads for HTTP/2, and heads of HTTP/2 for HTTP/1.1.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/http_date.h"

namespace handfast::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const ForwardContext kContext{.client_address = "192.0.2.7",
                              .scheme = "https",
                              .public_port = 8443,
                              .request_id = "0123456789abcdef0123456789abcdef"};

constexpr std::string_view kOurs =
    "X-Request-ID: 0123456789abcdef0123456789abcdef\n"
    "X-Real-IP: 192.0.2.7\n"
    "X-Forwarded-For: 192.0.2.7\n"
    "X-Forwarded-Host: shop.example\n"
    "X-Forwarded-Port: 8443\n"
    "X-Forwarded-Proto: https\n"
    "X-Forwarded-Scheme: https\n"
    "X-Scheme: https\n";

std::string lines(const std::vector<Header>& fields) {
  std::string out;
  for (const Header& field : fields) {
    out.append(field.name).append(": ").append(field.value).append("\n");
  }
  return out;
}

// The fields of an HTTP/1.1 request as they go on in HTTP/2, without ours.
std::string to_backend(std::string_view fields) {
  const std::string bytes =
      std::string("POST / HTTP/1.1\r\nHost: shop.example\r\n").append(fields).append("\r\n");
  RequestHead head;
  EXPECT_EQ(H1RequestParser().parse(bytes, head).status, ParseStatus::Complete);
  std::vector<Header> out;
  std::string storage;
  forward_request_fields(out, storage, head, kContext);
  std::string text = lines(out);
  const std::size_t ours = text.find(kOurs);
  EXPECT_NE(ours, std::string::npos) << text;
  return text.erase(ours, kOurs.size());
}

std::string to_client(std::string_view response, std::string_view method = "GET",
                      std::string_view strict_transport = {}) {
  ResponseHead head;
  EXPECT_EQ(H1ResponseParser().parse(response, method, head).status, ParseStatus::Complete);
  std::vector<Header> out;
  std::string storage;
  forward_response_fields(out, storage, head, strict_transport);
  return lines(out);
}

TEST(ForwardRequestFields, PassOnWhatEndsAtTheBackendAndAddOurs) {
  EXPECT_EQ(to_backend("Accept: a\r\nCookie: b\r\nUser-Agent: c\r\n"),
            "Accept: a\nCookie: b\nUser-Agent: c\n");
}

TEST(ForwardRequestFields, HoldNothingOfOneHopOrThatWeAssert) {
  EXPECT_EQ(to_backend("Connection: x-one, keep-alive\r\nX-One: 1\r\nKeep-Alive: 5\r\n"
                       "Upgrade: h2c\r\nProxy-Connection: a\r\nX-Forwarded-For: 1\r\n"
                       "X_Forwarded_For: 1\r\nTrailer: a\r\nTransfer-Encoding: chunked\r\n"),
            "");
}

TEST(ForwardRequestFields, TellTheLengthIfTheClientDid) {
  EXPECT_EQ(to_backend("Content-Length: 12\r\n"), "content-length: 12\n");
}

TEST(ForwardRequestFields, SayThatTheClientTakesTrailers) {
  RequestHead head;
  head.authority = "shop.example";
  head.takes_trailers = true;
  std::vector<Header> out;
  std::string storage;
  forward_request_fields(out, storage, head, kContext);
  EXPECT_TRUE(lines(out).ends_with("te: trailers\n"));
}

TEST(ForwardResponseFields, PassOnWhatEndsAtTheClient) {
  EXPECT_EQ(to_client("HTTP/1.1 200 OK\r\nDate: today\r\nX-A: b\r\nContent-Length: 3\r\n"
                      "Connection: close, X-B\r\nX-B: c\r\nKeep-Alive: 1\r\n\r\n"),
            "Date: today\nX-A: b\nContent-Length: 3\n");
}

TEST(ForwardResponseFields, AddADateIfThereIsNone) {
  const std::string date = "date: " + std::string(http_date_now()) + "\n";
  EXPECT_EQ(to_client("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").size(), date.size());
  EXPECT_EQ(to_client("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), "Link: a\n");
}

TEST(ForwardResponseFields, KeepTheLengthThatABodyWouldHave) {
  constexpr std::string_view kFields = "Date: x\r\nContent-Length: 3\r\n\r\n";
  EXPECT_EQ(to_client("HTTP/1.1 200 OK\r\n" + std::string(kFields), "HEAD"),
            "Date: x\nContent-Length: 3\n");
  EXPECT_EQ(to_client("HTTP/1.1 304 Not Modified\r\n" + std::string(kFields)),
            "Date: x\nContent-Length: 3\n");
  EXPECT_EQ(to_client("HTTP/1.1 204 No Content\r\nDate: x\r\nContent-Length: 0\r\n\r\n"),
            "Date: x\n");
}

TEST(ForwardResponseFields, SayStrictTransportSecurityInThePlaceOfTheBackend) {
  constexpr std::string_view kOwn =
      "HTTP/1.1 200 OK\r\nDate: x\r\nstrict-Transport-security: max-age=1\r\nX-A: b\r\n"
      "Strict-Transport-Security: max-age=2\r\nStrict-Transport: c\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(to_client(kOwn, "GET", "max-age=9"),
            "Date: x\nX-A: b\nStrict-Transport: c\nStrict-Transport-Security: max-age=9\n"
            "Content-Length: 0\n");
  EXPECT_EQ(to_client(kOwn),
            "Date: x\nstrict-Transport-security: max-age=1\nX-A: b\n"
            "Strict-Transport-Security: max-age=2\nStrict-Transport: c\nContent-Length: 0\n");

  ResponseHead head;
  EXPECT_EQ(H1ResponseParser().parse(kOwn, "GET", head).status, ParseStatus::Complete);
  std::string out;
  append_response_head(out, head, {.strict_transport = "max-age=9"});
  EXPECT_EQ(out,
            "HTTP/1.1 200 OK\r\nDate: x\r\nX-A: b\r\nStrict-Transport: c\r\n"
            "Strict-Transport-Security: max-age=9\r\nContent-Length: 0\r\n\r\n");
}

TEST(OwnResponseFields, SayStrictTransportSecurity) {
  std::vector<Header> out;
  std::string storage;
  own_response_fields(out, storage, 302, "Location: /a\r\n", "max-age=9");
  EXPECT_THAT(lines(out), HasSubstr("Strict-Transport-Security: max-age=9\nLocation: /a\n"));
  std::string http1;
  append_own_response(http1, 302, "GET", false, false, "Location: /a\r\n", "max-age=9");
  EXPECT_THAT(http1, HasSubstr("\r\nStrict-Transport-Security: max-age=9\r\nLocation: /a\r\n\r\n"));
}

TEST(OwnResponseFields, AreThoseOfTheHttp1Answer) {
  std::vector<Header> out;
  std::string storage;
  own_response_fields(out, storage, 404, "Location: /a: b\r\nX-Two: 2\r\n");
  std::string page;
  append_own_page(page, 404);

  EXPECT_THAT(page, HasSubstr("<h1>404 Not Found</h1>"));
  EXPECT_EQ(lines(out), "date: " + std::string(out[0].value) +
                            "\ncontent-type: text/html\ncontent-length: " +
                            std::to_string(page.size()) + "\nLocation: /a: b\nX-Two: 2\n");
  std::string http1;
  append_own_response(http1, 404, "GET", false, false, "Location: /a: b\r\nX-Two: 2\r\n");
  EXPECT_TRUE(http1.ends_with("Location: /a: b\r\nX-Two: 2\r\n\r\n" + page));
}

TEST(OwnResponseFields, HaveNoPageWithoutContent) {
  std::vector<Header> out;
  std::string storage;
  std::string page;
  own_response_fields(out, storage, 204);
  append_own_page(page, 204);
  EXPECT_EQ(out.size(), 1U);
  EXPECT_EQ(page, "");
  out.clear();
  own_response_fields(out, storage, 100);
  append_own_page(page, 100);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(page, "");
}

// An HTTP/2 request as it goes to an HTTP/1.1 backend.
std::string to_http1(const std::vector<std::pair<std::string, std::string>>& fields, bool ends) {
  const H2HeadLimits limits;
  H2Head builder;
  for (const auto& [name, value] : fields) builder.add(name, value, limits);
  RequestHead head;
  EXPECT_FALSE(builder.read_request(limits, ends, head));
  std::string out;
  append_request_head(out, head, kContext);
  RequestHead again;
  const ParseResult result = H1RequestParser().parse(out, again);
  EXPECT_EQ(result.status, ParseStatus::Complete) << result.error << out;
  EXPECT_EQ(again.target, head.target);
  EXPECT_EQ(again.authority, head.authority);
  EXPECT_EQ(again.framing, head.framing);
  EXPECT_EQ(again.content_length, head.content_length);
  return out;
}

TEST(ForwardedHttp2Requests, AreGoodHttp1Requests) {
  const std::string out = to_http1({{":method", "POST"},
                                    {":scheme", "https"},
                                    {":authority", "shop.example"},
                                    {":path", "/a?b"},
                                    {"accept", "*/*"},
                                    {"cookie", "a=1"},
                                    {"x-empty", ""},
                                    {"x-forwarded-for", "1"},
                                    {"cookie", "b=2"},
                                    {"te", "trailers"},
                                    {"x-last", "3"},
                                    {"expect", "100-continue"}},
                                   false);
  EXPECT_TRUE(
      out.starts_with("POST /a?b HTTP/1.1\r\nHost: shop.example\r\naccept: */*\r\n"
                      "cookie: a=1; b=2\r\nx-empty: \r\nx-last: 3\r\nexpect: 100-continue\r\n"
                      "X-Request-ID: "))
      << out;
  EXPECT_TRUE(out.ends_with("Transfer-Encoding: chunked\r\n\r\n"));
}

TEST(ForwardedHttp2Requests, KeepTheLengthOrHaveNoBody) {
  const std::vector<std::pair<std::string, std::string>> get = {
      {":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "shop.example"}};
  EXPECT_THAT(to_http1(get, true), Not(HasSubstr("Content-Length")));
  EXPECT_THAT(to_http1(get, true), Not(HasSubstr("Transfer-Encoding")));
  auto post = get;
  post.emplace_back("content-length", "7");
  EXPECT_THAT(to_http1(post, false), HasSubstr("Content-Length: 7\r\n"));
}

}  // namespace
}  // namespace handfast::http
