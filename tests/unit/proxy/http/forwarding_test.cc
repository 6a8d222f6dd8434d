#include "proxy/http/forwarding.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/http/h1_parser.h"

namespace handfast::http {
namespace {

using testing::HasSubstr;
using testing::Not;

const ForwardContext kContext{.client_address = "192.0.2.7",
                              .scheme = "https",
                              .public_port = 8443,
                              .request_id = "0123456789abcdef0123456789abcdef"};

constexpr std::string_view kOurs =
    "X-Request-ID: 0123456789abcdef0123456789abcdef\r\n"
    "X-Real-IP: 192.0.2.7\r\n"
    "X-Forwarded-For: 192.0.2.7\r\n"
    "X-Forwarded-Host: shop.example\r\n"
    "X-Forwarded-Port: 8443\r\n"
    "X-Forwarded-Proto: https\r\n"
    "X-Forwarded-Scheme: https\r\n"
    "X-Scheme: https\r\n";

std::string forward(std::string_view request) {
  RequestHead head;
  const ParseResult result = H1RequestParser().parse(request, head);
  EXPECT_EQ(result.status, ParseStatus::Complete) << result.error << request;
  std::string out;
  append_request_head(out, head, kContext);
  return out;
}

// What a GET with these fields becomes, without its first two lines, our fields and the end.
std::string forward_fields(std::string_view fields) {
  std::string out = forward(
      std::string("GET / HTTP/1.1\r\nHost: shop.example\r\n").append(fields).append("\r\n"));
  const std::string_view begin = "GET / HTTP/1.1\r\nHost: shop.example\r\n";
  EXPECT_TRUE(out.starts_with(begin)) << out;
  out.erase(0, begin.size());
  const std::size_t ours = out.find(kOurs);
  EXPECT_NE(ours, std::string::npos) << out;
  return out.erase(ours, kOurs.size());
}

std::string answer(std::string_view response, ResponseFraming framing = {},
                   std::string_view method = "GET") {
  ResponseHead head;
  const ParseResult result = H1ResponseParser().parse(response, method, head);
  EXPECT_EQ(result.status, ParseStatus::Complete) << result.error << response;
  std::string out;
  append_response_head(out, head, framing);
  return out;
}

TEST(ForwardedRequest, HasTheClientsFieldsThenOurs) {
  EXPECT_EQ(forward("GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept:  */* \r\nCookie: c=d\r\n"
                    "accept: x\r\n\r\n"),
            std::string("GET /a?b HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nCookie: c=d\r\n"
                        "accept: x\r\n")
                .append(kOurs)
                .append("\r\n"));
}

TEST(ForwardedRequest, IsHttp11WithTheHostAsTheClientSentIt) {
  const std::string out = forward("GET http://Shop.example:81/ HTTP/1.0\r\n\r\n");

  EXPECT_TRUE(out.starts_with("GET / HTTP/1.1\r\nHost: Shop.example:81\r\n")) << out;
  EXPECT_THAT(out, HasSubstr("\r\nX-Forwarded-Host: Shop.example:81\r\n"));
}

TEST(ForwardedRequest, HasAnEmptyHostIfTheClientSentNone) {
  const std::string out = forward("GET / HTTP/1.0\r\n\r\n");

  EXPECT_TRUE(out.starts_with("GET / HTTP/1.1\r\nHost: \r\n")) << out;
  EXPECT_THAT(out, Not(HasSubstr("X-Forwarded-Host")));
}

TEST(ForwardedRequest, NeverCarriesWhatOnlyWeMaySay) {
  EXPECT_EQ(forward_fields("X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 1\r\n"
                           "x.forwarded.proto: http\r\nX-FORWARDED-CLIENT-CERT: x\r\n"
                           "X-Real-IP: 1\r\nX-Scheme: 1\r\nX-Request-ID: 1\r\nForwarded: for=1\r\n"
                           "X-Original-URI: /\r\nssl-client-verify: SUCCESS\r\n"
                           "SSL_Client_Subject_DN: CN=a\r\nX-SSL-Client-Cert: x\r\n"
                           "X-Client-Cert: x\r\nProxy: x\r\nContent_Length: 5\r\n"
                           "Transfer.Encoding: chunked\r\n"),
            "\r\n");
}

TEST(ForwardedRequest, LosesHopByHopFields) {
  EXPECT_EQ(forward_fields("Connection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n"
                           "Proxy-Authorization: x\r\nTE: trailers\r\nTrailer: A\r\n"
                           "Upgrade: websocket\r\nAccept: b\r\n"),
            "Accept: b\r\n\r\n");
}

TEST(ForwardedRequest, LosesWhatConnectionNominates) {
  EXPECT_EQ(forward_fields("X-A: 1\r\nConnection: x-a, close\r\nX-B: 2\r\nX-C: 3\r\n"
                           "connection: X-B\r\n"),
            "X-C: 3\r\n\r\n");
}

TEST(ForwardedRequest, KeepsWhatWeSayThoughConnectionNominatesIt) {
  EXPECT_EQ(forward_fields("Connection: X-Forwarded-For, X-Real-IP, X-Forwarded-Host, Host, "
                           "X-Request-ID, Content-Length\r\nContent-Length: 3\r\n"),
            "Content-Length: 3\r\n\r\n");
  EXPECT_EQ(forward_fields("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
            "Transfer-Encoding: chunked\r\n\r\n");
}

TEST(ForwardedRequest, IsFramedByUs) {
  EXPECT_EQ(forward_fields(""), "\r\n");
  EXPECT_EQ(forward_fields("content-length: 0\r\n"), "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(forward_fields("content-length: 007\r\n"), "Content-Length: 7\r\n\r\n");
  EXPECT_EQ(forward_fields("transfer-encoding: CHUNKED\r\n"), "Transfer-Encoding: chunked\r\n\r\n");
}

TEST(ForwardedRequest, PassesExpectOfHttp11Only) {
  EXPECT_EQ(forward_fields("Expect: 100-Continue\r\nConnection: expect\r\n"),
            "Expect: 100-Continue\r\n\r\n");
  EXPECT_THAT(forward("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
              Not(HasSubstr("Expect")));
}

TEST(ForwardedRequest, IsTheSameWhereverTheFieldsLie) {
  const std::string name = "X-A";
  const std::string value = "1";
  RequestHead head;
  head.method = "GET";
  head.target = "/";
  head.authority = "shop.example";
  head.headers.add({name, value, HeaderId::Other});
  head.headers.add({"X-B", {}, HeaderId::Other});
  head.headers.add({name, value, HeaderId::Other});
  std::string out;

  append_request_head(out, head, kContext);

  EXPECT_EQ(out,
            std::string("GET / HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nX-B: \r\nX-A: 1\r\n")
                .append(kOurs)
                .append("\r\n"));
}

TEST(ForwardedRequest, WritesFieldsOneWay) {
  EXPECT_EQ(
      forward_fields("A: 1\r\nB:2\r\nC:\r\nD: \r\nE:  3 \r\nF: 4\r\nTE: x\r\nG: 5\t\r\nH: 6\r\n"),
      "A: 1\r\nB: 2\r\nC: \r\nD: \r\nE: 3\r\nF: 4\r\nG: 5\r\nH: 6\r\n\r\n");
}

TEST(ForwardedResponse, HasTheBackendsStatusAndFields) {
  EXPECT_EQ(answer("HTTP/1.0 404 Gone Fishing\r\nDate: d\r\nServer: s\r\nSet-Cookie: a\r\n"
                   "Set-Cookie: b\r\nX-Request-ID: c\r\nContent-Length: 3\r\n\r\n"),
            "HTTP/1.1 404 Gone Fishing\r\nDate: d\r\nServer: s\r\nSet-Cookie: a\r\n"
            "Set-Cookie: b\r\nX-Request-ID: c\r\nContent-Length: 3\r\n\r\n");
}

TEST(ForwardedResponse, LosesHopByHopAndNominatedFields) {
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nDate: d\r\nConnection: X-A, keep-alive, Date\r\nX-A: 1\r\n"
                   "Keep-Alive: 1\r\nProxy-Connection: 1\r\nProxy-Authenticate: 1\r\nTE: 1\r\n"
                   "Trailer: 1\r\nUpgrade: h2c\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                   {.chunked = true}),
            "HTTP/1.1 200 OK\r\nDate: d\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(ForwardedResponse, NeverCarriesBothLengths) {
  const std::string_view length = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 3\r\n\r\n";

  EXPECT_EQ(answer(length, {.chunked = true}),
            "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(answer(length, {.chunked = true}, "HEAD"),
            "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(ForwardedResponse, KeepsTheLengthOfABodyThatDoesNotFollow) {
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nDate: d\r\ncontent-length: 03\r\n\r\n", {}, "HEAD"),
            "HTTP/1.1 200 OK\r\nDate: d\r\ncontent-length: 03\r\n\r\n");
  EXPECT_EQ(answer("HTTP/1.1 304 N\r\nDate: d\r\nContent-Length: 3\r\n\r\n"),
            "HTTP/1.1 304 N\r\nDate: d\r\nContent-Length: 3\r\n\r\n");
}

TEST(ForwardedResponse, HasNoLengthWhereHttpAllowsNone) {
  EXPECT_EQ(answer("HTTP/1.1 204 N\r\nDate: d\r\nContent-Length: 3\r\n\r\n", {.chunked = true}),
            "HTTP/1.1 204 N\r\nDate: d\r\n\r\n");
  EXPECT_EQ(answer("HTTP/1.1 103 E\r\nLink: x\r\nContent-Length: 3\r\n\r\n"),
            "HTTP/1.1 103 E\r\nLink: x\r\n\r\n");
}

TEST(ForwardedResponse, SaysWhatBecomesOfTheConnection) {
  const std::string_view response = "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\n";

  EXPECT_EQ(answer(response, {.close = true}),
            "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer(response, {.close = true, .client_is_1_0 = true}),
            "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer(response, {.client_is_1_0 = true}),
            "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: keep-alive\r\n\r\n");
}

TEST(ForwardedResponse, IsDatedIfTheBackendDidNot) {
  EXPECT_THAT(answer("HTTP/1.1 200 OK\r\n\r\n"), HasSubstr("\r\nDate: "));
}

TEST(ForwardedRequest, SaysOfTheClientWhatItsCallerBelieves) {
  RequestHead head;
  const std::string request =
      "GET / HTTP/1.1\r\nHost: inner.example\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";
  ASSERT_EQ(H1RequestParser().parse(request, head).status, ParseStatus::Complete);
  ForwardContext context = kContext;
  context.forwarded_for = "203.0.113.9, 192.0.2.7";
  context.forwarded_host = "shop.example:8443";
  context.original_forwarded_for = "203.0.113.9";
  context.original_forwarded_host = "a, shop.example:8443";
  std::string out;
  append_request_head(out, head, context);

  EXPECT_EQ(out,
            "GET / HTTP/1.1\r\n"
            "Host: inner.example\r\n"
            "X-Request-ID: 0123456789abcdef0123456789abcdef\r\n"
            "X-Real-IP: 192.0.2.7\r\n"
            "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n"
            "X-Forwarded-Host: shop.example:8443\r\n"
            "X-Forwarded-Port: 8443\r\n"
            "X-Forwarded-Proto: https\r\n"
            "X-Forwarded-Scheme: https\r\n"
            "X-Scheme: https\r\n"
            "X-Original-Forwarded-For: 203.0.113.9\r\n"
            "X-Original-Forwarded-Host: a, shop.example:8443\r\n\r\n");
}

// Names and values that matter to the forwarding, and some that don't.
std::string random_request(std::mt19937& random) {
  static const std::vector<std::string_view> names = {
      "Accept",     "Cookie",          "X-A",        "x-b",     "Connection",
      "Keep-Alive", "X-Forwarded-For", "X_Real_IP",  "TE",      "Upgrade",
      "Date",       "Server",          "User-Agent", "Referer", "Expect"};
  static const std::vector<std::string_view> values = {
      "", "a", "X-A, accept", "close", "keep-alive", "caf\xc3\xa9 \t b", "x-b"};
  static const std::vector<std::string_view> lines = {
      "GET / HTTP/1.1\r\n", "POST /a?b=c HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n",
      "PUT http://h.example/x HTTP/1.1\r\n", "GET /old HTTP/1.0\r\n"};
  static const std::vector<std::string_view> framings = {"", "Content-Length: 12\r\n",
                                                         "Content-Length: 0\r\n"};
  const auto pick = [&random](const std::vector<std::string_view>& from) {
    return from[random() % from.size()];
  };
  std::string out(pick(lines));
  out.append("Host: h.example\r\n").append(pick(framings));
  for (auto n = random() % 12; n > 0; --n) {
    const std::string_view name = pick(names);
    std::string_view value = pick(values);
    if (name == "Expect") value = "100-continue";
    if (name == "Connection" && value.find('\t') != std::string_view::npos) value = "x-b";
    out.append(name).append(": ").append(value).append("\r\n");
  }
  return out.append("\r\n");
}

TEST(ForwardedRequest, ReadsBackAsTheSameRequest) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    std::mt19937 random(seed);
    const std::string request = random_request(random);
    RequestHead sent;
    ASSERT_EQ(H1RequestParser().parse(request, sent).status, ParseStatus::Complete) << request;
    std::string out;
    append_request_head(out, sent, kContext);

    RequestHead got;
    const ParseResult result = H1RequestParser().parse(out, got);

    ASSERT_EQ(result.status, ParseStatus::Complete) << "seed " << seed << result.error << out;
    EXPECT_EQ(result.consumed, out.size());
    EXPECT_EQ(got.method, sent.method);
    EXPECT_EQ(got.target, sent.target);
    EXPECT_EQ(got.path, sent.path);
    EXPECT_EQ(got.query, sent.query);
    EXPECT_EQ(got.authority, sent.authority);
    EXPECT_EQ(got.framing, sent.framing);
    EXPECT_EQ(got.content_length, sent.content_length);
    EXPECT_EQ(got.expect_continue, sent.expect_continue);
    EXPECT_EQ(got.minor_version, 1);
    EXPECT_TRUE(got.keep_alive);
    // Forwarding it again changes nothing: no field of the client's is left to strip.
    std::string again;
    append_request_head(again, got, kContext);
    EXPECT_EQ(again, out) << "seed " << seed;
  }
}

TEST(Forwarding, WithholdsFieldsInEverySpellingAndAddsOthers) {
  RequestHead head;
  const std::string request =
      "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Auth-User: root\r\nx_auth.user: root\r\n"
      "X-AUTH-USER: root\r\nX-Auth-Users: us\r\n\r\n";
  ASSERT_EQ(H1RequestParser().parse(request, head).status, ParseStatus::Complete);
  const std::string withheld[] = {"X-Auth-User"};
  const Header added[] = {{"X-Auth-User", "alice"}};
  ForwardContext context = kContext;
  context.withheld = withheld;
  context.added = added;

  std::string out;
  append_request_head(out, head, context);
  EXPECT_THAT(out, Not(HasSubstr("root")));
  EXPECT_THAT(out, HasSubstr("\r\nX-Auth-User: alice\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\nX-Auth-Users: us\r\n"));

  std::vector<Header> fields;
  std::string storage;
  forward_request_fields(fields, storage, head, context);
  std::string values;
  for (const Header& field : fields) values.append(field.value).append(" ");
  EXPECT_THAT(values, Not(HasSubstr("root")));
  EXPECT_THAT(values, HasSubstr("alice"));
}

}  // namespace
}  // namespace handfast::http
