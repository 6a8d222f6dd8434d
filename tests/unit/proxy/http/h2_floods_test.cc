// Each attack that has a name, and its limit.

#include "proxy/http/h2_floods.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/unit/proxy/http/h2_frames.h"

namespace handfast::http {
namespace {

using h2::End;
using Role = H2Codec::Role;

constexpr std::uint32_t kCalm = 11;

// Feeds it at once and wants the connection to end for this reason.
void expect_flood(End& end, const std::string& bytes, H2Flood flood) {
  EXPECT_FALSE(end.codec.feed(bytes).has_value());
  EXPECT_EQ(end.codec.flood(), flood);
  const std::string out = end.take();
  EXPECT_LT(out.size(), 100'000U);
  const auto frames = h2::frames_of(out);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back().type, 7);
  EXPECT_EQ(frames.back().word(4), kCalm);
  EXPECT_TRUE(end.codec.finished());
}

class H2FloodsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server.codec.feed(h2::opening()).has_value());
    server.take();
  }
  End server{Role::Server};
};

std::string repeat(const std::string& bytes, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += bytes;
  return out;
}

TEST_F(H2FloodsTest, RapidResetEndsTheConnection) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) {
    bytes += h2::headers(2 * i + 1, h2::get()) + h2::rst(2 * i + 1, 8);
  }
  expect_flood(server, bytes, H2Flood::Resets);
  EXPECT_TRUE(server.log.text.find("1599 closed") != std::string::npos);
  EXPECT_TRUE(server.log.text.find("1605 request") == std::string::npos);
}

TEST_F(H2FloodsTest, AnsweredStreamsEarnResets) {
  for (int i = 0; i < 2000; i += 2) {
    const H2StreamId answered = 2 * i + 1;
    const H2StreamId reset = answered + 2;
    ASSERT_TRUE(server.codec
                    .feed(h2::headers(answered, h2::get()) + h2::headers(reset, h2::get()) +
                          h2::rst(reset, 8))
                    .has_value());
    server.codec.send_head(answered, 204, {}, true);
    server.take();
  }
}

TEST_F(H2FloodsTest, ResetsOfStreamsThatAreBeingAnsweredCostNothing) {
  for (int i = 0; i < 2000; ++i) {
    const H2StreamId stream = 2 * i + 1;
    ASSERT_TRUE(server.codec.feed(h2::headers(stream, h2::get())).has_value());
    server.codec.send_head(stream, 200, {}, false);
    server.take();
    ASSERT_TRUE(server.codec.feed(h2::rst(stream, 8)).has_value());
  }
}

// Answers that the client doesn't read would pile up.
TEST_F(H2FloodsTest, ResetsBeforeTheAnswerIsReadCostHoweverQuickItIs) {
  int served = 0;
  for (; served < 1000; ++served) {
    const H2StreamId stream = 2 * served + 1;
    if (!server.codec.feed(h2::headers(stream, h2::get()))) break;
    server.codec.send_head(stream, 404, {}, true);
    if (!server.codec.feed(h2::rst(stream, 8))) break;
  }
  EXPECT_EQ(served, H2Floods::kResets);
  EXPECT_EQ(server.codec.flood(), H2Flood::Resets);
}

// A client whose calls have deadlines, all of them missed, ten a second and forever.
TEST_F(H2FloodsTest, TimeGivesResetsBack) {
  Monotonic now{std::chrono::hours(1)};
  for (int i = 0; i < 3000; ++i) {
    server.codec.set_now(now);
    const H2StreamId stream = 2 * i + 1;
    ASSERT_TRUE(server.codec.feed(h2::headers(stream, h2::get()) + h2::rst(stream, 8))) << i;
    server.take();
    now += H2Floods::kResetsBack;
  }
  server.codec.set_now(now + std::chrono::hours(1));
  int more = 0;
  for (; more < 2000; ++more) {
    const H2StreamId stream = 6001 + 2 * more;
    if (!server.codec.feed(h2::headers(stream, h2::get()) + h2::rst(stream, 8))) break;
  }
  EXPECT_EQ(more, H2Floods::kResets);
}

// MadeYouReset: the client makes the server reset.
TEST_F(H2FloodsTest, ProvokedResetsEndTheConnection) {
  bool alive = true;
  int streams = 0;
  for (; alive && streams < 1000; ++streams) {
    const H2StreamId stream = 2 * streams + 1;
    alive =
        server.codec.feed(h2::headers(stream, h2::get()) + h2::window_update(stream, 0x7fffffff))
            .has_value();
    server.take();
  }
  EXPECT_EQ(streams, H2Floods::kResets + 1);
  EXPECT_EQ(server.codec.flood(), H2Flood::Resets);
}

TEST_F(H2FloodsTest, BodiesLongerThanAnnouncedAreProvokedResets) {
  int streams = 0;
  for (bool alive = true; alive && streams < 1000; ++streams) {
    const H2StreamId stream = 2 * streams + 1;
    alive = server.codec
                .feed(h2::headers(stream, h2::with(h2::post(), "content-length", "1"), false) +
                      h2::data(stream, "ab"))
                .has_value();
    server.take();
  }
  EXPECT_LE(streams, H2Floods::kResets + 2);
  EXPECT_EQ(server.codec.flood(), H2Flood::Resets);
}

TEST_F(H2FloodsTest, HeadsThatAreNoneAreProvokedResets) {
  int streams = 0;
  for (; streams < 1000; ++streams) {
    if (!server.codec.feed(h2::headers(2 * streams + 1, {{":method", "GET"}})).has_value()) break;
    server.take();
  }
  EXPECT_EQ(streams, H2Floods::kResets);
  EXPECT_EQ(server.codec.flood(), H2Flood::Resets);
  EXPECT_EQ(server.log.text, "");
}

TEST(H2Floods, StreamsBeyondTheLimitAreProvokedResets) {
  End server(Role::Server);
  // Without the acknowledgement of our settings each is refused alone.
  std::string bytes = std::string(h2::kPreface) + h2::settings();
  for (int i = 0; i < 1000; ++i) bytes += h2::headers(2 * i + 1, h2::get());
  expect_flood(server, bytes, H2Flood::Resets);
}

TEST(H2Floods, ResetsByABackendAreItsOwnAffair) {
  End client(Role::Client);
  ASSERT_TRUE(client.codec.feed(h2::settings() + h2::settings_ack()).has_value());
  RequestHead head;
  head.method = "GET";
  head.target = "/";
  for (int i = 0; i < 2000; ++i) {
    const auto stream = client.codec.send_request(head, "http", {}, true);
    ASSERT_TRUE(stream.has_value());
    client.take();
    ASSERT_TRUE(client.codec.feed(h2::rst(*stream, 8)).has_value());
  }
}

TEST_F(H2FloodsTest, OneHeadHasAtMostSoManyFrames) {
  const std::string begin = h2::frame(1, h2::kEndStream, 1, h2::block(h2::get()));
  const std::string more = h2::frame(9, 0, 1, h2::block({{"x", "y"}}));
  ASSERT_TRUE(server.codec.feed(begin + repeat(more, kMaxContinuations)).has_value());
  expect_flood(server, more, H2Flood::Continuations);
  EXPECT_EQ(server.log.text, "");
}

TEST_F(H2FloodsTest, EmptyContinuationsCountToo) {
  const std::string begin = h2::frame(1, h2::kEndStream, 1, h2::block(h2::get()));
  expect_flood(server, begin + repeat(h2::frame(9, 0, 1, ""), 10'000), H2Flood::Continuations);
}

TEST_F(H2FloodsTest, ControlFramesEndTheConnection) {
  const std::string priority = h2::frame(2, 0, 1, h2::number(3, 4) + "\x10");
  for (const std::string& frame :
       {h2::ping(), h2::settings(), priority, h2::window_update(0, 1), h2::frame(0xee, 0, 0, ""),
        h2::frame(0x10, 0, 0, h2::number(1, 4) + "u=1"), h2::goaway(0, 0)}) {
    End one(Role::Server);
    ASSERT_TRUE(one.codec.feed(h2::opening()).has_value());
    one.take();
    expect_flood(one, repeat(frame, 10'000), H2Flood::Control);
  }
}

TEST_F(H2FloodsTest, FramesForClosedStreamsAreControlFrames) {
  ASSERT_TRUE(server.codec.feed(h2::headers(1, h2::post(), false)).has_value());
  server.codec.reset(1, H2Error::Cancel);
  server.take();
  expect_flood(server, repeat(h2::headers(1, {{"x", "y"}}) + h2::data(1, "x"), 5000),
               H2Flood::Control);
}

TEST_F(H2FloodsTest, ABackendMayNotFloodEither) {
  End client(Role::Client);
  ASSERT_TRUE(client.codec.feed(h2::settings() + h2::settings_ack()).has_value());
  expect_flood(client, repeat(h2::ping(), 10'000), H2Flood::Control);
}

TEST_F(H2FloodsTest, PingsOnAQuietConnectionCostNothing) {
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(server.codec.feed(h2::ping()).has_value());
    server.take();
  }
}

TEST_F(H2FloodsTest, AnswersThatNobodyReadsDont) {
  int pings = 0;
  while (pings < 20'000 && server.codec.feed(h2::ping()).has_value()) ++pings;
  EXPECT_EQ(pings, 1000);
  EXPECT_EQ(server.codec.flood(), H2Flood::Control);
}

TEST_F(H2FloodsTest, WindowUpdatesForBytesThatWereSentCostNothing) {
  ASSERT_TRUE(server.codec.feed(h2::headers(1, h2::get())).has_value());
  server.codec.send_head(1, 200, {}, false);
  for (int i = 0; i < 5000; ++i) {
    server.codec.send_body(1, std::string(1000, 'x'));
    server.take();
    ASSERT_TRUE(
        server.codec.feed(h2::window_update(1, 1000) + h2::window_update(0, 1000)).has_value());
  }
}

TEST_F(H2FloodsTest, EmptyDataEndsTheConnection) {
  ASSERT_TRUE(server.codec.feed(h2::headers(1, h2::post(), false)).has_value());
  const std::string empty = h2::data(1, "") + h2::frame(0, 8, 1, std::string(1, '\0'));
  expect_flood(server, repeat(empty, 10'000), H2Flood::EmptyFrames);
}

TEST_F(H2FloodsTest, AHeadAboveTheLimitIsAnswered) {
  ASSERT_TRUE(server.codec
                  .feed(h2::frame(1, h2::kEndStream, 1, h2::block(h2::get())) +
                        repeat(h2::frame(9, 0, 1, h2::block({{"x", std::string(9000, 'y')}})), 4) +
                        h2::frame(9, h2::kEndHeaders, 1, ""))
                  .has_value());
  EXPECT_EQ(server.log.text, "1 bad 431\n");
}

// One field in the table, then a byte for each time that it is meant.
TEST_F(H2FloodsTest, ADecompressionBombEndsTheConnection) {
  std::string block = "\x40\x01x\x7f\xa1\x1e" + std::string(4000, 'y');  // 127 + 33 + 30 * 128
  block += std::string(12'000, '\xbe');                                  // index 62
  expect_flood(server, h2::frame(1, h2::kEndHeaders | h2::kEndStream, 1, block), H2Flood::Headers);
}

TEST(H2FrameCutter, CutsAtTheFramesBoundaries) {
  const std::string bytes = h2::headers(1, {{"a", "b"}}) + h2::ping() + h2::settings() +
                            h2::frame(2, 0, 5, h2::number(7, 4) + "\x10") + h2::frame(2, 0, 5, "");
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    H2FrameCutter cutter(0);
    std::string types;
    std::string_view left = bytes;
    while (!left.empty()) {
      const H2FrameCutter::Piece piece = cutter.take(left.substr(0, step));
      ASSERT_GT(piece.size, 0U);
      if (piece.frame != nullptr) {
        types += std::to_string(piece.frame->type);
        if (piece.frame->depends_on != 0) types += ":" + std::to_string(piece.frame->depends_on);
      }
      left.remove_prefix(piece.size);
    }
    EXPECT_EQ(types, "1642:72") << step;
  }
}

}  // namespace
}  // namespace handfast::http
