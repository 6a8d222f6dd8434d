// Windows, queues and marks.

#include <algorithm>
#include <array>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/proxy/http/h2_frames.h"

namespace handfast::http {
namespace {

using h2::End;
using h2::talk;
using Role = H2Codec::Role;

constexpr std::size_t kWindow = 64 * 1024;

// Counts body bytes and consumes those of all streams but one.
class Counter final : public h2::Log {
 public:
  H2Codec* codec = nullptr;
  H2StreamId lazy = 0;
  std::array<std::size_t, 2048> received{};

  void on_h2_data(H2StreamId stream, std::string_view payload) override {
    received[static_cast<std::size_t>(stream)] += payload.size();
    if (stream != lazy) codec->consume(stream, payload.size());
  }
};

struct Receiver {
  explicit Receiver(const H2Limits& limits = {}) : codec(Role::Client, counter, limits) {
    counter.codec = &codec;
  }
  H2StreamId open() {
    RequestHead head;
    head.method = "GET";
    head.target = "/";
    head.authority = "a.example";
    return codec.send_request(head, "https", {}, true).value_or(0);
  }
  std::string take() {
    BufferPool pool;
    Buffer out(pool);
    codec.produce(out, 1 << 20);
    return std::string(out.view());
  }

  Counter counter;
  H2Codec codec;
};

void exchange(Receiver& client, End& server) {
  for (bool more = true; more;) {
    const std::string up = client.take();
    EXPECT_TRUE(server.codec.feed(up).has_value());
    const std::string down = server.take();
    EXPECT_TRUE(client.codec.feed(down).has_value());
    more = !up.empty() || !down.empty();
  }
}

TEST(H2Flow, OneThatDoesntTakeItsBytesSlowsNobodyElse) {
  H2Limits limits;
  limits.connection_window = 128 * 1024;
  Receiver client(limits);
  End server(Role::Server);
  const H2StreamId lazy = client.counter.lazy = client.open();
  const H2StreamId busy = client.open();
  exchange(client, server);

  constexpr std::size_t kBytes = 2'000'000;
  for (const H2StreamId stream : {lazy, busy}) {
    server.codec.send_head(stream, 200, {}, false);
    server.codec.send_body(stream, std::string(kBytes, 'x'));
  }
  exchange(client, server);
  EXPECT_EQ(client.counter.received[1], kWindow);
  EXPECT_EQ(client.counter.received[3], kBytes);
  EXPECT_EQ(server.codec.queued(lazy), kBytes - kWindow);

  client.codec.consume(lazy, kWindow);
  exchange(client, server);
  EXPECT_EQ(client.counter.received[1], 2 * kWindow);
}

TEST(H2Flow, StreamsThatCloseWithBytesUntakenGiveThemBack) {
  H2Limits limits;
  limits.connection_window = 128 * 1024;
  Receiver client(limits);
  End server(Role::Server);
  for (int i = 0; i < 20; ++i) {
    const H2StreamId stream = client.counter.lazy = client.open();
    exchange(client, server);
    server.codec.send_head(stream, 200, {}, false);
    server.codec.send_body(stream, std::string(kWindow, 'x'));
    exchange(client, server);
    EXPECT_EQ(client.counter.received[static_cast<std::size_t>(stream)], kWindow);
    client.codec.reset(stream, H2Error::Cancel);
    exchange(client, server);
  }
}

TEST(H2Flow, ARequestThatWasRefusedHoldsNoBytesOfTheConnection) {
  H2Limits limits;
  limits.connection_window = 128 * 1024;
  End server(Role::Server, limits);
  std::string bytes = h2::opening();
  for (H2StreamId stream = 1; stream < 40; stream += 2) {
    bytes += h2::headers(stream, h2::with(h2::post(), "expect", "x"), false);
    for (int i = 0; i < 4; ++i) bytes += h2::data(stream, std::string(16'000, 'x'));
    ASSERT_TRUE(server.codec.feed(bytes).has_value());
    bytes.clear();
    server.codec.send_head(stream, 417, {}, true);
    server.take();
  }
}

TEST(H2Flow, SendsNothingBeforeTheWindowOpens) {
  End server(Role::Server);
  const std::string no_window = h2::number(4, 2) + h2::number(0, 4);
  ASSERT_TRUE(
      server.codec
          .feed(std::string(h2::kPreface) + h2::settings(no_window) + h2::headers(1, h2::get()))
          .has_value());
  server.codec.send_head(1, 200, {}, false);
  server.codec.send_body(1, "hello");
  const auto count_data = [](const std::string& bytes) {
    const auto frames = h2::frames_of(bytes);
    return std::count_if(frames.begin(), frames.end(),
                         [](const h2::Frame& frame) { return frame.type == 0; });
  };
  EXPECT_EQ(count_data(server.take()), 0);
  ASSERT_TRUE(server.codec.feed(h2::window_update(1, 2)).has_value());
  EXPECT_EQ(count_data(server.take()), 1);
  EXPECT_EQ(server.codec.queued(1), 3U);
}

TEST(H2Flow, AFrameAndItsHeaderFitOneTlsRecord) {
  End server(Role::Server);
  ASSERT_TRUE(server.codec.feed(h2::opening() + h2::headers(1, h2::get())).has_value());
  server.codec.send_head(1, 200, {}, false);
  server.codec.send_body(1, std::string(60'000, 'x'));
  std::size_t largest = 0;
  for (const h2::Frame& frame : h2::frames_of(server.take())) {
    if (frame.type == 0) largest = std::max(largest, frame.payload.size());
  }
  EXPECT_EQ(largest, 16'375U);
}

TEST(H2Flow, ProducesUpToAMarkAndGoesOnLater) {
  End server(Role::Server);
  ASSERT_TRUE(server.codec.feed(h2::opening() + h2::headers(1, h2::get())).has_value());
  server.codec.send_head(1, 200, {}, false);
  server.codec.send_body(1, std::string(60'000, 'x'));
  const std::string first = server.take(20'000);
  EXPECT_GE(first.size(), 20'000U);
  EXPECT_LT(first.size(), 20'000U + 16'384U);
  EXPECT_TRUE(server.codec.wants_produce());
  const std::string rest = server.take();
  EXPECT_EQ(server.codec.queued(1), 0U);
  EXPECT_FALSE(server.codec.wants_produce());
  EXPECT_EQ(h2::frames_of(first + rest).size(),
            h2::frames_of(first).size() + h2::frames_of(rest).size());
}

TEST(H2Flow, TellsOnceWhenAQueueThatWasAboveTheMarkIsDrained) {
  End server(Role::Server);
  ASSERT_TRUE(server.codec.feed(h2::opening() + h2::headers(1, h2::get())).has_value());
  server.codec.send_head(1, 200, {}, false);
  server.log.text.clear();
  server.codec.send_body(1, std::string(H2Codec::kLowMark, 'x'));
  server.take();
  EXPECT_EQ(server.log.text, "");
  server.codec.send_body(1, std::string(H2Codec::kLowMark + 10'000, 'x'));
  server.take(1);  // the first frame
  EXPECT_EQ(server.log.text, "1 drained\n");
  server.take();
  EXPECT_EQ(server.log.text, "1 drained\n");
}

// Queues more whenever it may.
class Filler final : public h2::Log {
 public:
  H2Codec* codec = nullptr;
  int left = 20;

  void on_h2_drained(H2StreamId stream) override {
    if (left-- > 0) codec->send_body(stream, std::string(20'000, 'x'));
  }
};

TEST(H2Flow, DrawsOnWhatIsQueuedWhenDrained) {
  Filler filler;
  H2Codec server(Role::Server, filler, {});
  filler.codec = &server;
  const std::string wide = h2::number(4, 2) + h2::number(1 << 30, 4);
  ASSERT_TRUE(server
                  .feed(std::string(h2::kPreface) + h2::settings(wide) +
                        h2::window_update(0, 1 << 30) + h2::headers(1, h2::get()))
                  .has_value());
  server.send_head(1, 200, {}, false);
  server.send_body(1, std::string(20'000, 'x'));
  BufferPool pool;
  Buffer out(pool);
  server.produce(out, 1 << 20);
  EXPECT_GT(out.size(), 20'000U * 21);
  EXPECT_EQ(server.queued(1), 0U);
}

TEST(H2Flow, TakesAMegabyteWholeInSmallPieces) {
  End client(Role::Client);
  End server(Role::Server);
  client.log.consumer = &client.codec;
  RequestHead head;
  head.method = "GET";
  head.target = "/";
  head.authority = "a.example";
  ASSERT_TRUE(client.codec.send_request(head, "https", {}, true).has_value());
  talk(client, server);
  server.codec.send_head(1, 200, {}, false);
  std::string body;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<std::size_t>(i * 37 % 2000),
                            static_cast<char>('a' + i % 26));
    body += piece;
    server.codec.send_body(1, piece);
    if (i % 7 == 0) static_cast<void>(client.codec.feed(server.take(1000)));
  }
  server.codec.send_end(1, {});
  talk(client, server);
  EXPECT_EQ(client.log.text, "1 response 200 streamed\n1 data " + body + "\n1 end\n1 closed 0\n");
}

}  // namespace
}  // namespace handfast::http
