// Requests and responses between two codecs.

#include "proxy/http/h2_codec.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/proxy/http/h2_frames.h"

namespace handfast::http {
namespace {

using h2::End;
using h2::talk;
using Role = H2Codec::Role;

RequestHead request(std::string_view method = "GET", std::string_view target = "/") {
  RequestHead head;
  head.method = method;
  head.target = target;
  head.authority = "a.example";
  return head;
}

class H2CodecTest : public ::testing::Test {
 protected:
  H2StreamId send(const RequestHead& head, std::span<const Header> fields, bool end) {
    const auto stream = client.codec.send_request(head, "https", fields, end);
    EXPECT_TRUE(stream.has_value());
    return stream.value_or(0);
  }
  void forget() { client.log.text = server.log.text = ""; }

  End client{Role::Client};
  End server{Role::Server};
};

TEST_F(H2CodecTest, CarriesARequestAndItsResponse) {
  const std::array fields = {Header{"Accept", "text/html"}, Header{"x-one", "1"}};
  const H2StreamId id = send(request("GET", "/path?query"), fields, true);
  talk(client, server);
  EXPECT_EQ(server.log.text,
            "1 request GET /path?query at a.example [accept: text/html] [x-one: 1]\n1 end\n");

  const std::array answer = {Header{"Content-Length", "5"}};
  server.codec.send_head(id, 200, answer, false);
  server.codec.send_body(id, "hello");
  server.codec.send_end(id, {});
  talk(client, server);
  EXPECT_EQ(client.log.text,
            "1 response 200 length 5 [content-length: 5]\n1 data hello\n1 end\n1 closed 0\n");
  EXPECT_TRUE(server.log.text.ends_with("1 closed 0\n"));
  EXPECT_EQ(client.codec.open_streams(), 0U);
  EXPECT_EQ(server.codec.open_streams(), 0U);
}

TEST_F(H2CodecTest, CarriesABodyUpAndTrailersBothWays) {
  const std::array te = {Header{"te", "trailers"}};
  const H2StreamId id = send(request("POST"), te, false);
  client.codec.send_body(id, "one");
  talk(client, server);
  client.codec.send_body(id, "two");
  const std::array up = {Header{"X-Sum", "6"}};
  client.codec.send_end(id, up);
  talk(client, server);
  EXPECT_EQ(server.log.text,
            "1 request POST / at a.example streamed trailers [te: trailers]\n1 data onetwo\n"
            "1 end [x-sum: 6]\n");

  server.codec.send_head(id, 200, {}, false);
  server.codec.send_body(id, "three");
  const std::array down = {Header{"grpc-status", "0"}, Header{"grpc-message", ""}};
  server.codec.send_end(id, down);
  talk(client, server);
  EXPECT_EQ(client.log.text,
            "1 response 200 streamed\n1 data three\n1 end [grpc-status: 0] [grpc-message: ]\n"
            "1 closed 0\n");
}

TEST_F(H2CodecTest, SendsTrailersAfterTheQueueRanDry) {
  const H2StreamId id = send(request(), {}, true);
  talk(client, server);
  server.codec.send_head(id, 200, {}, false);
  server.codec.send_body(id, "x");
  talk(client, server);
  const std::array down = {Header{"grpc-status", "0"}};
  server.codec.send_end(id, down);
  talk(client, server);
  EXPECT_EQ(client.log.text,
            "1 response 200 streamed\n1 data x\n1 end [grpc-status: 0]\n1 closed 0\n");
}

TEST_F(H2CodecTest, CarriesAResponseOfTrailersAlone) {
  const H2StreamId id = send(request("POST"), {}, true);
  talk(client, server);
  const std::array fields = {Header{"grpc-status", "14"}};
  server.codec.send_head(id, 200, fields, true);
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 response 200 length 0 [grpc-status: 14]\n1 end\n1 closed 0\n");
}

TEST_F(H2CodecTest, ForwardsInterimResponses) {
  const H2StreamId id = send(request(), {}, true);
  talk(client, server);
  const std::array hint = {Header{"link", "</a>"}};
  server.codec.send_head(id, 103, hint, false);
  server.codec.send_head(id, 103, hint, false);
  server.codec.send_head(id, 204, {}, true);
  talk(client, server);
  EXPECT_EQ(client.log.text,
            "1 response 103 [link: </a>]\n1 response 103 [link: </a>]\n1 response 204\n1 end\n"
            "1 closed 0\n");
}

TEST_F(H2CodecTest, KnowsResponsesThatHaveNoBodyWhateverTheirFieldsSay) {
  const std::array length = {Header{"content-length", "5"}};
  const H2StreamId head = send(request("HEAD"), {}, true);
  const H2StreamId unchanged = send(request(), {}, true);
  talk(client, server);
  server.codec.send_head(head, 200, length, true);
  server.codec.send_head(unchanged, 304, length, true);
  talk(client, server);
  EXPECT_EQ(client.log.text,
            "1 response 200 [content-length: 5]\n1 end\n1 closed 0\n"
            "3 response 304 [content-length: 5]\n3 end\n3 closed 0\n");
}

TEST_F(H2CodecTest, ResetsAStreamWhoseAnswerIsWholeBeforeItsRequest) {
  const H2StreamId id = send(request("POST"), {}, false);
  client.codec.send_body(id, "part");
  talk(client, server);
  server.codec.send_head(id, 413, {}, false);
  server.codec.send_body(id, "no");
  server.codec.send_end(id, {});
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 response 413 streamed\n1 data no\n1 end\n1 closed 0\n");
  EXPECT_TRUE(server.log.text.ends_with("1 closed 0\n"));
}

TEST_F(H2CodecTest, TellsBothSidesOfAReset) {
  const H2StreamId one = send(request(), {}, true);
  const H2StreamId two = send(request(), {}, true);
  talk(client, server);
  forget();
  client.codec.reset(one, H2Error::Cancel);
  server.codec.reset(two, H2Error::Internal);
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 closed 8\n3 closed 2\n");
  EXPECT_EQ(server.log.text, "1 closed 8\n3 closed 2\n");
}

TEST_F(H2CodecTest, CancelsARequestThatWasNeverDrawn) {
  const H2StreamId id = send(request(), {}, true);
  client.codec.reset(id, H2Error::Cancel);
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 closed 8\n");
  EXPECT_EQ(server.log.text, "");
}

TEST_F(H2CodecTest, IgnoresSendsOnStreamsThatAreGone) {
  const H2StreamId id = send(request(), {}, true);
  talk(client, server);
  server.codec.reset(id, H2Error::Cancel);
  server.codec.send_head(id, 200, {}, false);
  server.codec.send_body(id, "x");
  server.codec.send_end(id, {});
  talk(client, server);
  server.codec.send_head(id, 200, {}, true);
  server.codec.send_head(99, 200, {}, true);
  server.codec.consume(id, 5);
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 closed 8\n");
}

TEST_F(H2CodecTest, ResetsAStreamWhoseHeadCantBeWritten) {
  const H2StreamId id = send(request(), {}, true);
  talk(client, server);
  const std::string large(300'000, 'x');
  const std::array fields = {Header{"x-large", large}};
  server.codec.send_head(id, 200, fields, false);
  server.codec.send_body(id, "x");
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 closed 2\n");
  EXPECT_TRUE(server.log.text.ends_with("1 closed 2\n"));
}

TEST_F(H2CodecTest, OpensNoMoreStreamsThanThePeerAllows) {
  H2Limits few;
  few.max_streams = 2;
  End strict(Role::Server, few);
  EXPECT_EQ(client.codec.free_streams(), 100U);
  talk(client, strict);
  EXPECT_EQ(client.codec.free_streams(), 2U);
  send(request(), {}, true);
  send(request(), {}, true);
  EXPECT_EQ(client.codec.free_streams(), 0U);
  EXPECT_FALSE(client.codec.send_request(request(), "https", {}, true).has_value());
  talk(client, strict);
  strict.codec.send_head(1, 204, {}, true);
  talk(client, strict);
  EXPECT_EQ(client.codec.free_streams(), 1U);
}

TEST_F(H2CodecTest, DrainsWithANoticeAndThenTheLastStream) {
  const H2StreamId id = send(request(), {}, true);
  talk(client, server);
  forget();
  server.codec.send_goaway(false);
  server.codec.send_ping();
  talk(client, server);
  EXPECT_EQ(client.log.text, "0 goaway 2147483647 0\n");
  EXPECT_EQ(server.log.text, "0 pong\n");
  EXPECT_EQ(client.codec.free_streams(), 0U);
  server.codec.send_goaway(true);
  talk(client, server);
  EXPECT_TRUE(client.log.text.ends_with("0 goaway 1 0\n"));
  EXPECT_FALSE(server.codec.finished());
  server.codec.send_head(id, 204, {}, true);
  talk(client, server);
  EXPECT_TRUE(client.log.text.ends_with("1 response 204\n1 end\n1 closed 0\n"));
  EXPECT_TRUE(server.codec.finished());
  EXPECT_TRUE(client.codec.finished());
}

TEST_F(H2CodecTest, RefusesStreamsBeyondTheLastOneOfAGoaway) {
  const H2StreamId one = send(request(), {}, true);
  talk(client, server);
  server.codec.send_goaway(true);
  const H2StreamId three = send(request(), {}, true);
  EXPECT_EQ(three, 3);
  talk(client, server);
  EXPECT_EQ(client.log.text, "0 goaway 1 0\n3 closed 7\n");
  server.codec.send_head(one, 204, {}, true);
  talk(client, server);
  EXPECT_TRUE(client.log.text.ends_with("1 closed 0\n"));
}

TEST_F(H2CodecTest, ReusesStreamsWithoutLeavingsOfThePreviousOne) {
  for (int i = 0; i < 5; ++i) {
    const std::array fields = {Header{"x-count", "1"}};
    const H2StreamId id = send(request("POST"), fields, false);
    client.codec.send_body(id, "abc");
    client.codec.send_end(id, fields);
    talk(client, server);
    EXPECT_TRUE(server.log.text.ends_with("streamed [x-count: 1]\n" + std::to_string(id) +
                                          " data abc\n" + std::to_string(id) +
                                          " end [x-count: 1]\n"));
    server.codec.send_head(id, 200, {}, true);
    talk(client, server);
  }
  EXPECT_EQ(server.codec.open_streams(), 0U);
}

TEST_F(H2CodecTest, GoesOnAfterItGaveItsMemoryBack) {
  const std::array fields = {Header{"x-kept-in-the-table", "1"}};
  for (int request_number = 0; request_number < 3; ++request_number) {
    forget();
    const H2StreamId id = send(request("POST"), fields, false);
    talk(client, server);
    server.codec.release_memory();  // with a stream open
    client.codec.send_body(id, "body");
    client.codec.send_end(id, {});
    server.codec.send_head(id, 200, fields, true);
    client.codec.release_memory();  // with frames to be sent
    talk(client, server);
    const std::string name = std::to_string(id);
    EXPECT_EQ(server.log.text,
              name + " request POST / at a.example streamed [x-kept-in-the-table: 1]\n" + name +
                  " data body\n" + name + " end\n" + name + " closed 0\n");
    EXPECT_EQ(client.log.text, name + " response 200 length 0 [x-kept-in-the-table: 1]\n" + name +
                                   " end\n" + name + " closed 0\n");
    server.codec.release_memory();
    client.codec.release_memory();
  }
}

TEST(H2Codec, NamesTheLibrary) { EXPECT_TRUE(nghttp2_version().starts_with("nghttp2 1.")); }

// The client is told that it had no effect, and may send it again.
TEST(H2Codec, DoesntServeWhatItsGoawayLeavesOut) {
  End server(Role::Server);
  ASSERT_TRUE(server.codec.feed(h2::opening() + h2::headers(1, h2::get())).has_value());
  server.take();
  server.codec.send_goaway(/*last=*/true);
  ASSERT_TRUE(server.codec.feed(h2::headers(3, h2::post(), false) + h2::data(3, "pay", true)));
  EXPECT_EQ(server.log.text.find("3 "), std::string::npos) << server.log.text;
  const auto frames = h2::frames_of(server.take());
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames[0].type, 7);
  EXPECT_EQ(frames[0].word(0), 1U);

  server.codec.send_head(1, 204, {}, true);
  EXPECT_FALSE(server.take().empty());
  EXPECT_TRUE(server.codec.finished());
}

}  // namespace
}  // namespace handfast::http
