#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/http/body.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"

namespace handfast::http {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Answer {
  std::string text;
  ResponseHead head;
  std::string_view body;
};

// Writes an answer and reads it back with our own parser.
void write(Answer& answer, int status, std::string_view method = "GET", bool close = false,
           bool client_is_1_0 = false, std::string_view extra = {}) {
  append_own_response(answer.text, status, method, close, client_is_1_0, extra);
  const ParseResult result = H1ResponseParser().parse(answer.text, method, answer.head);
  ASSERT_EQ(result.status, ParseStatus::Complete) << result.error << answer.text;
  answer.body = std::string_view(answer.text).substr(result.consumed);
}

TEST(OwnResponse, NamesTheStatusInAPageOfTheAnnouncedLength) {
  for (const int status : {400, 404, 421, 431, 502, 503, 504, 599}) {
    Answer answer;
    write(answer, status);

    EXPECT_EQ(answer.head.status, status);
    EXPECT_EQ(answer.head.framing, Framing::Length);
    EXPECT_EQ(answer.head.content_length, answer.body.size()) << status;
    EXPECT_THAT(answer.body, HasSubstr("<h1>" + std::to_string(status)));
    EXPECT_NE(answer.head.headers.find(HeaderId::Date), nullptr);
    EXPECT_EQ(answer.head.headers.find(HeaderId::Server), nullptr);
  }
}

TEST(OwnResponse, WordsItAsNginxDoes) {
  Answer answer;
  write(answer, 503);

  EXPECT_TRUE(answer.text.starts_with("HTTP/1.1 503 Service Temporarily Unavailable\r\n"));
  EXPECT_EQ(answer.body,
            "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n"
            "<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n"
            "</body>\r\n</html>\r\n");
  EXPECT_THAT(answer.text, HasSubstr("\r\nContent-Type: text/html\r\n"));
}

TEST(OwnResponse, HasTheLengthButNotThePageForHead) {
  Answer get;
  write(get, 404);
  Answer head;
  write(head, 404, "HEAD");

  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.head.headers.find(HeaderId::ContentLength)->value,
            get.head.headers.find(HeaderId::ContentLength)->value);
}

TEST(OwnResponse, SaysWhatBecomesOfTheConnection) {
  Answer close;
  write(close, 400, "GET", true);
  Answer keep;
  write(keep, 404, "GET", false);
  Answer keep_1_0;
  write(keep_1_0, 404, "GET", false, true);

  EXPECT_FALSE(close.head.keep_alive);
  EXPECT_TRUE(keep.head.keep_alive);
  EXPECT_THAT(keep.text, Not(HasSubstr("Connection:")));
  EXPECT_THAT(keep_1_0.text, HasSubstr("\r\nConnection: keep-alive\r\n"));
}

TEST(OwnResponse, CarriesExtraLines) {
  Answer answer;
  write(answer, 308, "GET", false, false, "Location: https://a.example/\r\n");

  EXPECT_THAT(answer.text, HasSubstr("\r\nLocation: https://a.example/\r\n"));
  EXPECT_EQ(answer.head.content_length, answer.body.size());
}

TEST(OwnResponse, HasNoContentWhereHttpAllowsNone) {
  for (const int status : {100, 204, 304}) {
    Answer answer;
    write(answer, status);

    EXPECT_EQ(answer.body, "") << status;
    EXPECT_THAT(answer.text, Not(HasSubstr("Content-"))) << status;
  }
}

TEST(OwnResponse, AppendsToWhatIsThere) {
  std::string out = "before";

  append_own_response(out, 404, "GET", false, false);

  EXPECT_TRUE(out.starts_with("beforeHTTP/1.1 404 Not Found\r\n"));
}

}  // namespace
}  // namespace handfast::http
