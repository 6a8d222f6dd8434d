#include "proxy/http/h2_head.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGet = {
    {":method", "GET"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", "/"}};

Fields get_with(std::string name, std::string value) {
  Fields fields = kGet;
  fields.emplace_back(std::move(name), std::move(value));
  return fields;
}

Fields replaced(std::string_view name, std::string value) {
  Fields fields = kGet;
  for (auto& field : fields) {
    if (field.first == name) field.second = value;
  }
  return fields;
}

Fields without(std::string_view name) {
  Fields fields = kGet;
  std::erase_if(fields, [name](const auto& field) { return field.first == name; });
  return fields;
}

Refusal read(const Fields& fields, RequestHead& head, H2Head& builder, H2HeadLimits limits = {},
             bool ends = true) {
  for (const auto& [name, value] : fields) builder.add(name, value, limits);
  return builder.read_request(limits, ends, head);
}

int status_of(const Fields& fields, H2HeadLimits limits = {}, bool ends = true) {
  RequestHead head;
  H2Head builder;
  return read(fields, head, builder, limits, ends).status;
}

TEST(H2Request, SplitsTargetAndAuthority) {
  RequestHead head;
  H2Head builder;
  Fields fields = replaced(":path", "/a/b?c=d");
  fields[2].second = "[2001:db8::1]:8443";
  ASSERT_FALSE(read(fields, head, builder));

  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.target, "/a/b?c=d");
  EXPECT_EQ(head.path, "/a/b");
  EXPECT_EQ(head.query, "c=d");
  EXPECT_EQ(head.authority, "[2001:db8::1]:8443");
  EXPECT_EQ(head.host, "[2001:db8::1]");
  EXPECT_EQ(head.major_version, 2);
  EXPECT_FALSE(head.is_http_1_0());
  EXPECT_EQ(head.framing, Framing::None);
}

TEST(H2Request, TakesHostWhereThereIsNoAuthority) {
  RequestHead head;
  H2Head builder;
  Fields fields = without(":authority");
  fields.emplace_back("host", "b.example");
  ASSERT_FALSE(read(fields, head, builder));
  EXPECT_EQ(head.authority, "b.example");
}

TEST(H2Request, TakesANameWithAnEmptyPortForTheName) {
  RequestHead head;
  H2Head builder;
  ASSERT_FALSE(read(replaced(":authority", "b.example:"), head, builder));
  EXPECT_EQ(head.authority, "b.example");
}

TEST(H2Request, TakesHostThatEqualsTheAuthority) {
  EXPECT_EQ(status_of(get_with("host", "A.example")), 0);
}

TEST(H2Request, KnowsItsFraming) {
  RequestHead head;
  H2Head streamed;
  ASSERT_FALSE(read(kGet, head, streamed, {}, false));
  EXPECT_EQ(head.framing, Framing::Chunked);
  H2Head counted;
  ASSERT_FALSE(read(get_with("content-length", "12"), head, counted, {}, false));
  EXPECT_EQ(head.framing, Framing::Length);
  EXPECT_EQ(head.content_length, 12U);
  H2Head empty;
  ASSERT_FALSE(read(get_with("content-length", "0"), head, empty));
  EXPECT_EQ(head.framing, Framing::Length);
}

TEST(H2Request, JoinsCookiesInPlaceOfTheFirst) {
  RequestHead head;
  H2Head builder;
  Fields fields = get_with("a", "1");
  for (int i = 0; i < 150; ++i) fields.emplace_back("cookie", std::to_string(i));
  fields.emplace_back("z", "2");
  ASSERT_FALSE(read(fields, head, builder));

  ASSERT_EQ(head.headers.items().size(), 3U);
  EXPECT_EQ(head.headers.items()[1].name, "cookie");
  EXPECT_TRUE(head.headers.items()[1].value.starts_with("0; 1; 2; "));
  EXPECT_TRUE(head.headers.items()[1].value.ends_with("; 149"));
  EXPECT_EQ(head.headers.items()[2].name, "z");
}

TEST(H2Request, CookiesOfAnyLengthLeaveTheRestInPlace) {
  for (std::size_t size = 1; size < 2000; size += 7) {
    RequestHead head;
    H2Head builder;
    Fields fields = get_with("cookie", std::string(size, 'a'));
    fields.emplace_back("cookie", "b");
    ASSERT_FALSE(read(fields, head, builder));
    ASSERT_EQ(head.method, "GET");
    ASSERT_EQ(head.target, "/");
    ASSERT_EQ(head.host, "a.example");
  }
}

TEST(H2Request, KnowsProtectedNamesInEverySpelling) {
  RequestHead head;
  H2Head builder;
  Fields fields = get_with("x_forwarded_for", "1");
  for (const char* name : {"x-forwarded-for", "ssl.client.cert", "content_length", "forwarded"}) {
    fields.emplace_back(name, "1");
  }
  ASSERT_FALSE(read(fields, head, builder));
  for (const Header& header : head.headers.items()) {
    EXPECT_EQ(header.id, HeaderId::Protected) << header.name;
  }
}

TEST(H2Request, ReadsExpectAndTe) {
  RequestHead head;
  H2Head builder;
  Fields fields = get_with("expect", "100-Continue");
  fields.emplace_back("te", "Trailers");
  ASSERT_FALSE(read(fields, head, builder, {}, false));
  EXPECT_TRUE(head.expect_continue);
  EXPECT_TRUE(head.takes_trailers);
}

TEST(H2Request, TakesAsteriskForOptionsOnly) {
  Fields fields = replaced(":path", "*");
  EXPECT_EQ(status_of(fields), 400);
  fields[0].second = "OPTIONS";
  EXPECT_EQ(status_of(fields), 0);
}

TEST(H2Request, RefusesWrongPseudoFields) {
  for (const char* name : {":method", ":scheme", ":authority", ":path"}) {
    EXPECT_EQ(status_of(without(name)), 400) << name;
    EXPECT_EQ(status_of(replaced(name, "")), 400) << name;
    Fields twice = kGet;
    twice.insert(twice.begin(), {name, "/"});
    EXPECT_EQ(status_of(twice), 400) << name;
  }
  Fields late = {{"accept", "a"}};
  late.insert(late.end(), kGet.begin(), kGet.end());
  EXPECT_EQ(status_of(late), 400);
  for (const char* name : {":", ":protocol", ":status", ":host", ":Method", "::path"}) {
    Fields fields = kGet;
    fields.insert(fields.begin(), {name, "websocket"});
    EXPECT_EQ(status_of(fields), 400) << name;
  }
}

TEST(H2Request, RefusesMethodsThatAreNone) {
  for (const char* method : {"CONNECT", "G T", "G\tT", "G:T", "G\"", "G\x80"}) {
    EXPECT_EQ(status_of(replaced(":method", method)), 400) << method;
  }
  EXPECT_EQ(status_of(replaced(":method", std::string(32, 'M'))), 0);
  EXPECT_EQ(status_of(replaced(":method", std::string(33, 'M'))), 400);
}

TEST(H2Request, RefusesOtherSchemes) {
  for (const char* scheme : {"ftp", "ws", "http ", "https:", "h"}) {
    EXPECT_EQ(status_of(replaced(":scheme", scheme)), 400) << scheme;
  }
}

TEST(H2Request, RefusesTargetsThatAreNoPath) {
  for (const char* target : {"a", "http://a/", "?a", "**", "/a b", "/a#b", "/\x7f", "/\xc3\xa4"}) {
    EXPECT_EQ(status_of(replaced(":path", target)), 400) << target;
  }
  const H2HeadLimits limits{.head_bytes = 1024, .target_bytes = 10};
  EXPECT_EQ(status_of(replaced(":path", "/123456789"), limits), 0);
  EXPECT_EQ(status_of(replaced(":path", "/1234567890"), limits), 414);
}

TEST(H2Request, RefusesAuthoritiesThatAreNone) {
  for (const char* authority : {"u@a.example", "a b", "a..b", "a:0", "a:65536", "[::1", "a/b"}) {
    EXPECT_EQ(status_of(replaced(":authority", authority)), 400) << authority;
    Fields host = without(":authority");
    host.emplace_back("host", authority);
    EXPECT_EQ(status_of(host), 400) << authority;
  }
  EXPECT_EQ(status_of(get_with("host", "b.example")), 400);
  Fields twice = get_with("host", "a.example");
  twice.emplace_back("host", "a.example");
  EXPECT_EQ(status_of(twice), 400);
}

TEST(H2Request, RefusesNamesThatAreNoLowerCaseTokens) {
  for (const char* name : {"", "Accept", "a b", "a\r", "a:", "a\x80", "a,b"}) {
    EXPECT_EQ(status_of(get_with(name, "1")), 400) << name;
  }
}

TEST(H2Request, RefusesValuesWithControlBytesOrBlanksAtTheirEnds) {
  for (const char* value : {"a\rb", "a\nb", "a\x01", "\x7f", " a", "a ", "\ta", "a\t", " "}) {
    EXPECT_EQ(status_of(get_with("x", value)), 400) << value;
  }
  EXPECT_EQ(status_of(get_with("x", std::string("a\0b", 3))), 400);
  for (const char* value : {"", "a b", "a\tb", "\xc3\xa4"}) {
    EXPECT_EQ(status_of(get_with("x", value)), 0) << value;
  }
}

TEST(H2Request, RefusesConnectionSpecificFields) {
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    EXPECT_EQ(status_of(get_with(name, "a")), 400) << name;
  }
  EXPECT_EQ(status_of(get_with("te", "gzip")), 400);
}

TEST(H2Request, RefusesLengthsThatAreNone) {
  for (const char* value : {"", "+5", "-1", "0x5", "5,5", "5 5", "9223372036854775808"}) {
    EXPECT_EQ(status_of(get_with("content-length", value), {}, false), 400) << value;
  }
  Fields twice = get_with("content-length", "5");
  twice.emplace_back("content-length", "5");
  EXPECT_EQ(status_of(twice, {}, false), 400);
  EXPECT_EQ(status_of(get_with("content-length", "5"), {}, true), 400);
}

TEST(H2Request, RefusesOtherExpectations) {
  EXPECT_EQ(status_of(get_with("expect", "200-ok")), 417);
}

TEST(H2Request, RefusesMoreThanTheLimits) {
  const H2HeadLimits limits{.head_bytes = 300};
  EXPECT_EQ(status_of(kGet, limits), 0);
  EXPECT_EQ(status_of(get_with("x", std::string(200, 'y')), limits), 431);
  Fields fields = kGet;
  for (std::size_t i = 0; i < kMaxHeaders; ++i) fields.emplace_back("x", "");
  EXPECT_EQ(status_of(fields), 0);
  fields.emplace_back("x", "");
  EXPECT_EQ(status_of(fields), 431);
}

TEST(H2Request, KeepsNothingBeyondTheLimitButCountsIt) {
  H2Head builder;
  const H2HeadLimits limits{.head_bytes = 100};
  for (int i = 0; i < 100; ++i) builder.add("x", std::string(1000, 'y'), limits);
  EXPECT_EQ(builder.decoded_bytes(), 100U * (1 + 1000 + 32));
}

int response_status_of(const Fields& fields, bool ends = false, bool to_head = false) {
  H2Head builder;
  for (const auto& [name, value] : fields) builder.add(name, value, {});
  ResponseHead head;
  return builder.read_response(to_head, ends, head) ? -1 : head.status;
}

TEST(H2Response, TakesStatusesThatAreOnes) {
  EXPECT_EQ(response_status_of({{":status", "200"}}), 200);
  EXPECT_EQ(response_status_of({{":status", "599"}}), 599);
  EXPECT_EQ(response_status_of({{":status", "100"}}), 100);
  for (const char* status : {"099", "600", "20", "2000", "2x0", "+20", "101", ""}) {
    EXPECT_EQ(response_status_of({{":status", status}}), -1) << status;
  }
  EXPECT_EQ(response_status_of({}), -1);
  EXPECT_EQ(response_status_of({{":status", "200"}, {":status", "200"}}), -1);
  EXPECT_EQ(response_status_of({{":status", "200"}, {":path", "/"}}), -1);
  EXPECT_EQ(response_status_of({{"a", "b"}, {":status", "200"}}), -1);
}

TEST(H2Response, NeverEndsWithAnInterimOne) {
  EXPECT_EQ(response_status_of({{":status", "103"}}, true), -1);
}

TEST(H2Response, RefusesALengthWithoutABody) {
  const Fields fields = {{":status", "200"}, {"content-length", "5"}};
  EXPECT_EQ(response_status_of(fields, true), -1);
  EXPECT_EQ(response_status_of(fields, true, true), 200);
  EXPECT_EQ(response_status_of({{":status", "200"}, {"connection", "close"}}), -1);
}

TEST(H2Trailers, LoseWhatFramesRoutesOrIsProtected) {
  H2Head builder;
  for (const char* name :
       {"grpc-status", "content-length", "host", "te", "trailer", "expect", "x-forwarded-for",
        "x_real_ip", "content_length", "proxy-authorization", "x-checksum"}) {
    builder.add(name, name == std::string_view("te") ? "trailers" : "1", {});
  }
  HeaderList trailers;
  ASSERT_FALSE(builder.read_trailers(trailers));
  ASSERT_EQ(trailers.items().size(), 2U);
  EXPECT_EQ(trailers.items()[0].name, "grpc-status");
  EXPECT_EQ(trailers.items()[1].name, "x-checksum");
}

TEST(H2Trailers, AreRefusedAsHeadsAre) {
  for (const auto& [name, value] : Fields{{":path", "/"}, {"A", "b"}, {"a", "b\n"}}) {
    H2Head builder;
    builder.add(name, value, {});
    HeaderList trailers;
    EXPECT_TRUE(builder.read_trailers(trailers)) << name;
  }
}

}  // namespace
}  // namespace handfast::http
