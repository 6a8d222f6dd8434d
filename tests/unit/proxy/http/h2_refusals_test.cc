// What a peer may not send, frame by frame, and that it matters not how the bytes were cut.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/proxy/http/h2_frames.h"

namespace handfast::http {
namespace {

using h2::End;
using h2::Fields;
using Role = H2Codec::Role;

constexpr std::uint32_t kProtocol = 1;
constexpr std::uint32_t kFlowControl = 3;
constexpr std::uint32_t kStreamClosed = 5;
constexpr std::uint32_t kFrameSize = 6;
constexpr std::uint32_t kCompression = 9;

struct Outcome {
  std::string events;
  std::string resets;  // "1:5 " is RST_STREAM of stream 1 with code 5
  int goaway = -1;     // the last one's code

  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    return out << outcome.events << "resets " << outcome.resets << " goaway " << outcome.goaway;
  }
};

void note_output(std::string_view bytes, Outcome& outcome) {
  for (const h2::Frame& frame : h2::frames_of(bytes)) {
    if (frame.type == 3) {
      outcome.resets += std::to_string(frame.stream) + ":" + std::to_string(frame.word(0)) + " ";
    }
    if (frame.type == 7) outcome.goaway = static_cast<int>(frame.word(4));
  }
}

Outcome fed(Role role, const std::vector<std::string_view>& pieces) {
  End end(role);
  if (role == Role::Client) {
    RequestHead head;
    head.method = "GET";
    head.target = "/";
    head.authority = "a.example";
    EXPECT_TRUE(end.codec.send_request(head, "https", {}, true).has_value());
    end.take();
  }
  Outcome outcome;
  for (const std::string_view piece : pieces) static_cast<void>(end.codec.feed(piece));
  note_output(end.take(), outcome);
  if (outcome.goaway > 0) {
    EXPECT_TRUE(end.codec.finished());
    EXPECT_FALSE(end.codec.feed("more").has_value());
  }
  outcome.events = end.log.text;
  return outcome;
}

Outcome outcome_of(Role role, const std::string& bytes) {
  Outcome whole = fed(role, {bytes});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const std::string_view view = bytes;
    EXPECT_EQ(fed(role, {view.substr(0, cut), view.substr(cut)}), whole) << "cut at " << cut;
  }
  std::vector<std::string_view> drops;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    drops.push_back(std::string_view(bytes).substr(i, 1));
  EXPECT_EQ(fed(role, drops), whole) << "byte by byte";
  return whole;
}

Outcome server_outcome(const std::string& bytes) {
  return outcome_of(Role::Server, h2::opening() + bytes);
}
Outcome client_outcome(const std::string& bytes) {
  return outcome_of(Role::Client, h2::settings() + h2::settings_ack() + bytes);
}

Outcome reset(std::string events, std::uint32_t code) {
  return {std::move(events), "1:" + std::to_string(code) + " ", -1};
}
Outcome gone(std::string events, std::uint32_t code) {
  return {std::move(events), "", static_cast<int>(code)};
}

constexpr const char* kRequest = "1 request GET / at a.example\n1 end\n";
constexpr const char* kPost = "1 request POST / at a.example streamed\n";

TEST(H2Server, ReadsARequestHoweverItIsCut) {
  EXPECT_EQ(server_outcome(h2::headers(1, h2::get())), (Outcome{kRequest, "", -1}));
  const std::string with_body = h2::headers(1, h2::post(), false) + h2::data(1, "ab") +
                                h2::data(1, "cd") + h2::headers(1, {{"x-sum", "4"}});
  EXPECT_EQ(server_outcome(with_body).events,
            std::string(kPost) + "1 data abcd\n1 end [x-sum: 4]\n");
}

TEST(H2Server, ReadsAHeadInSeveralFrames) {
  const std::string block = h2::block(h2::get());
  std::string bytes = h2::frame(1, h2::kEndStream, 1, block.substr(0, 10));
  for (std::size_t i = 10; i < 25; ++i) bytes += h2::frame(9, 0, 1, block.substr(i, 1));
  bytes += h2::frame(9, h2::kEndHeaders, 1, block.substr(25));
  EXPECT_EQ(server_outcome(bytes).events, kRequest);
}

TEST(H2Server, ReadsPaddedFrames) {
  const std::string block = h2::block(h2::post());
  const std::string padded = std::string(1, '\2') + block + std::string(2, '\0');
  EXPECT_EQ(server_outcome(h2::frame(1, h2::kEndHeaders | 8, 1, padded) +
                           h2::frame(0, 8 | h2::kEndStream, 1, std::string("\3ab\0\0\0", 6)))
                .events,
            std::string(kPost) + "1 data ab\n1 end\n");
}

TEST(H2Server, AnswersRequestsThatItCantTake) {
  EXPECT_EQ(server_outcome(h2::headers(1, h2::get("/a#b"))), (Outcome{"1 bad 400\n", "", -1}));
  EXPECT_EQ(server_outcome(h2::headers(1, h2::with(h2::get(), "expect", "x"))).events,
            "1 bad 417\n");
  EXPECT_EQ(server_outcome(h2::headers(1, h2::with(h2::get(), "host", "b.example"))).events,
            "1 bad 400\n");
  EXPECT_EQ(server_outcome(h2::headers(1, {{":method", "CONNECT"}, {":authority", "a:1"}})).events,
            "1 bad 400\n");
}

TEST(H2Server, SaysNothingMoreOfARequestThatItCantTake) {
  EXPECT_EQ(server_outcome(h2::headers(1, h2::with(h2::post(), "expect", "x"), false) +
                           h2::data(1, "body") + h2::headers(1, {{"x", "y"}})),
            (Outcome{"1 bad 417\n", "", -1}));
}

TEST(H2Server, ResetsWhatIsNoMessage) {
  const std::vector<Fields> wrong = {
      h2::with(h2::get(), "Accept", "a"),
      h2::with(h2::get(), "a b", "a"),
      h2::with(h2::get(), "x", "a\nb"),
      h2::with(h2::get(), "x", " a"),
      h2::with(h2::get(), "connection", "close"),
      h2::with(h2::get(), "keep-alive", "1"),
      h2::with(h2::get(), "proxy-connection", "close"),
      h2::with(h2::get(), "transfer-encoding", "chunked"),
      h2::with(h2::get(), "upgrade", "h2c"),
      h2::with(h2::get(), "te", "gzip"),
      h2::with(h2::get(), "content-length", "x"),
      h2::with(h2::get(), "content-length", "1"),
      h2::with(h2::get(), ":path", "/"),
      h2::with(h2::with(h2::get(), "x", "y"), ":x", "/"),
      h2::with(h2::get(), ":status", "200"),
      h2::get(""),
      h2::get("a"),
      {{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}},
      {{":method", "GET"}, {":path", "/"}, {":authority", "a"}},
      {{":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}},
  };
  for (const Fields& fields : wrong) {
    EXPECT_EQ(server_outcome(h2::headers(1, fields)), reset("", kProtocol))
        << fields.back().first << ": " << fields.back().second;
  }
}

TEST(H2Server, ResetsABodyThatIsntAsLongAsAnnounced) {
  const std::string head = h2::headers(1, h2::with(h2::post(), "content-length", "3"), false);
  const std::string events = "1 request POST / at a.example length 3 [content-length: 3]\n";
  EXPECT_EQ(server_outcome(head + h2::data(1, "ab", true)),
            reset(events + "1 data ab\n1 closed 1\n", kProtocol));
  EXPECT_EQ(server_outcome(head + h2::data(1, "abc") + h2::data(1, "d")),
            reset(events + "1 data abc\n1 closed 1\n", kProtocol));
}

TEST(H2Server, ResetsTrailersThatAreNone) {
  const std::string head = h2::headers(1, h2::post(), false);
  const std::string closed = std::string(kPost) + "1 closed 1\n";
  EXPECT_EQ(server_outcome(head + h2::headers(1, {{"x", "y"}}, false)), reset(closed, kProtocol));
  EXPECT_EQ(server_outcome(head + h2::headers(1, {{":path", "/"}})), reset(closed, kProtocol));
  EXPECT_EQ(server_outcome(head + h2::headers(1, {{"X", "y"}})), reset(closed, kProtocol));
  Fields many;
  for (std::size_t i = 0; i <= kMaxHeaders; ++i) many.emplace_back("x", "y");
  EXPECT_EQ(fed(Role::Server, {h2::opening() + head + h2::headers(1, many)}),
            reset(closed, kProtocol));
}

TEST(H2Server, ClosesForWhatBreaksTheConnection) {
  EXPECT_EQ(outcome_of(Role::Server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").goaway, 1);
  EXPECT_EQ(outcome_of(Role::Server, std::string(h2::kPreface) + h2::ping()).goaway, 1);
  const std::string get = h2::headers(1, h2::get());
  EXPECT_EQ(server_outcome(h2::headers(2, h2::get())), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::headers(0, h2::get())), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::data(1, "x")), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::rst(1, 8)), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::window_update(0, 0)), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::window_update(0, 0x7fffffff)), gone("", kFlowControl));
  EXPECT_EQ(server_outcome(h2::frame(6, 0, 0, "short")), gone("", kFrameSize));
  EXPECT_EQ(server_outcome(h2::frame(4, 0, 0, "short")), gone("", kFrameSize));
  EXPECT_EQ(server_outcome(h2::frame(9, 4, 1, "")), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::frame(5, 4, 1, h2::number(2, 4))), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::frame(1, 4, 1, "\xff\xff\xff\xff\xff\xff")), gone("", kCompression));
  EXPECT_EQ(server_outcome(h2::frame(1, 0, 1, h2::block(h2::get())) + h2::ping()),
            gone("", kProtocol));
  EXPECT_EQ(fed(Role::Server, {h2::opening() + h2::data(1, std::string(16'385, 'x'))}).goaway, 6);
  EXPECT_EQ(server_outcome(get + h2::data(1, "x")), gone(kRequest, kStreamClosed));
  EXPECT_EQ(server_outcome(get + h2::headers(1, h2::get())), gone(kRequest, kStreamClosed));
}

TEST(H2Server, LooksAtPrioritiesThoughItIgnoresThem) {
  const auto priority = [](H2StreamId stream, H2StreamId on) {
    return h2::frame(2, 0, stream, h2::number(static_cast<std::uint32_t>(on), 4) + "\x10");
  };
  EXPECT_EQ(server_outcome(priority(3, 1) + h2::headers(1, h2::get())),
            (Outcome{kRequest, "", -1}));
  EXPECT_EQ(server_outcome(priority(3, 3)), gone("", kProtocol));
  EXPECT_EQ(server_outcome(priority(0, 1)), gone("", kProtocol));
  EXPECT_EQ(server_outcome(h2::frame(2, 0, 3, "four")), gone("", kFrameSize));
}

TEST(H2Server, ResetsAStreamWhoseWindowOverflows) {
  EXPECT_EQ(server_outcome(h2::headers(1, h2::get()) + h2::window_update(1, 0x7fffffff)),
            reset(std::string(kRequest) + "1 closed 3\n", kFlowControl));
}

TEST(H2Server, KnowsStreamsThatTheClientHasEnded) {
  const std::string open = h2::headers(1, h2::post(), false) + h2::rst(1, 8);
  const std::string closed = std::string(kPost) + "1 closed 8\n";
  EXPECT_EQ(server_outcome(open + h2::data(1, "x")), gone(closed, kStreamClosed));
  EXPECT_EQ(server_outcome(open + h2::headers(1, {{"x", "y"}})), gone(closed, kStreamClosed));
  EXPECT_EQ(server_outcome(open + h2::window_update(1, 1)), (Outcome{closed, "", -1}));
  EXPECT_EQ(server_outcome(open + h2::rst(1, 8)), (Outcome{closed, "", -1}));

  End end(Role::Server);
  ASSERT_TRUE(end.codec.feed(h2::opening() + h2::headers(1, h2::get())).has_value());
  end.codec.send_head(1, 204, {}, true);
  end.take();
  EXPECT_FALSE(end.codec.feed(h2::data(1, "x")).has_value());
}

TEST(H2Server, TakesFramesThatCrossedItsOwnReset) {
  End end(Role::Server);
  ASSERT_TRUE(end.codec.feed(h2::opening() + h2::headers(1, h2::post(), false)).has_value());
  end.codec.reset(1, H2Error::Cancel);
  end.take();
  EXPECT_TRUE(end.codec
                  .feed(h2::data(1, "x") + h2::headers(1, {{"x", "y"}}) + h2::rst(1, 8) +
                        h2::headers(3, h2::get()))
                  .has_value());
  EXPECT_TRUE(end.log.text.ends_with("3 request GET / at a.example\n3 end\n"));
}

TEST(H2Server, WantsStreamIdsToGrow) {
  EXPECT_EQ(server_outcome(h2::headers(5, h2::get()) + h2::headers(3, h2::get())),
            gone("5 request GET / at a.example\n5 end\n", kProtocol));
}

TEST(H2Server, TakesWhatIsUnknown) {
  EXPECT_EQ(server_outcome(h2::frame(0xee, 0xff, 7, "what") + h2::headers(1, h2::get())).events,
            kRequest);
}

TEST(H2Server, TellsThatTheClientGoesAway) {
  EXPECT_EQ(server_outcome(h2::goaway(0, 2)).events, "0 goaway 0 2\n");
}

Fields ok() { return {{":status", "200"}}; }

TEST(H2Client, ReadsAResponseHoweverItIsCut) {
  const std::string bytes = h2::headers(1, {{":status", "103"}, {"link", "a"}}, false) +
                            h2::headers(1, h2::with(ok(), "x", "y"), false) + h2::data(1, "ab") +
                            h2::data(1, "cd") + h2::headers(1, {{"grpc-status", "0"}});
  EXPECT_EQ(client_outcome(bytes).events,
            "1 response 103 [link: a]\n1 response 200 streamed [x: y]\n1 data abcd\n"
            "1 end [grpc-status: 0]\n1 closed 0\n");
}

TEST(H2Client, ResetsWhatIsNoMessage) {
  const std::vector<Fields> wrong = {
      {{":status", "101"}},
      {{":status", "099"}},
      {{":status", "600"}},
      {{":status", "20"}},
      {{"x", "y"}},
      h2::with(ok(), ":status", "200"),
      h2::with(ok(), ":path", "/"),
      h2::with(ok(), "connection", "close"),
      h2::with(ok(), "transfer-encoding", "chunked"),
      h2::with(ok(), "X", "y"),
      h2::with(ok(), "x", "a\rb"),
      h2::with(ok(), "content-length", "+1"),
      h2::with(h2::with(ok(), "content-length", "1"), "content-length", "1"),
  };
  for (const Fields& fields : wrong) {
    EXPECT_EQ(client_outcome(h2::headers(1, fields, false)), reset("1 closed 1\n", kProtocol))
        << fields.back().first << ": " << fields.back().second;
  }
}

TEST(H2Client, ResetsABodyThatIsntAsLongAsAnnounced) {
  const std::string head = h2::headers(1, h2::with(ok(), "content-length", "3"), false);
  const std::string events = "1 response 200 length 3 [content-length: 3]\n";
  EXPECT_EQ(client_outcome(head + h2::data(1, "ab", true)),
            reset(events + "1 data ab\n1 closed 1\n", kProtocol));
  EXPECT_EQ(client_outcome(head + h2::data(1, "abc") + h2::data(1, "d")),
            reset(events + "1 data abc\n1 closed 1\n", kProtocol));
}

TEST(H2Client, WantsNoBodyWhereNoneCanBe) {
  EXPECT_EQ(client_outcome(h2::headers(1, {{":status", "204"}}, false) + h2::data(1, "x")).resets,
            "1:1 ");
  EXPECT_EQ(client_outcome(h2::headers(1, {{":status", "304"}}, false) + h2::data(1, "x")).resets,
            "1:1 ");
  EXPECT_EQ(client_outcome(h2::headers(1, {{":status", "304"}, {"content-length", "5"}})).events,
            "1 response 304 [content-length: 5]\n1 end\n1 closed 0\n");
}

TEST(H2Client, WantsAHeadBeforeABody) {
  EXPECT_EQ(client_outcome(h2::data(1, "x")), gone("", kProtocol));
  EXPECT_EQ(
      client_outcome(h2::headers(1, {{":status", "100"}}, false) + h2::data(1, "x", true)).resets,
      "1:1 ");
  EXPECT_EQ(client_outcome(h2::headers(1, {{":status", "100"}}, true)).resets, "1:1 ");
}

TEST(H2Client, TakesNoPushes) {
  EXPECT_EQ(client_outcome(h2::frame(5, 4, 1, h2::number(2, 4) + h2::block(h2::get()))),
            gone("", kProtocol));
}

TEST(H2Client, SeesARequestRefused) {
  EXPECT_EQ(client_outcome(h2::rst(1, 7)).events, "1 closed 7\n");
  EXPECT_EQ(client_outcome(h2::goaway(0, 0)).events, "0 goaway 0 0\n1 closed 7\n");
  // A reset that says "no error" without a response is one all the same.
  EXPECT_EQ(client_outcome(h2::rst(1, 0)).events, "1 closed 8\n");
}

}  // namespace
}  // namespace handfast::http
