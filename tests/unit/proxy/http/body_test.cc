#include "proxy/http/body.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

using std::string_literals::operator""s;

struct Decoded {
  std::string payload;
  std::string rest;  // what the decoder left untouched
  std::string error;
  bool done = false;
  bool ends_well = false;
  std::string trailers;

  friend bool operator==(const Decoded&, const Decoded&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Decoded& decoded) {
    return out << "payload '" << decoded.payload << "', rest '" << decoded.rest << "', error '"
               << decoded.error << "', done " << decoded.done;
  }
};

// Gives `piece` to the decoder until it takes no more; false if that was an error.
bool feed(BodyDecoder& decoder, std::string_view piece, Decoded& decoded) {
  const auto copy = std::make_unique<char[]>(piece.size());
  piece.copy(copy.get(), piece.size());
  std::string_view left(copy.get(), piece.size());
  while (!left.empty() && !decoder.done()) {
    const BodyDecoder::Step step = decoder.decode(left);
    decoded.payload.append(step.payload);
    decoded.error = step.error;
    if (!step.error.empty()) return false;
    if (step.consumed == 0) break;
    left.remove_prefix(step.consumed);
  }
  decoded.rest.append(left);
  return true;
}

Decoded decode_pieces(BodyDecoder decoder, std::string_view input, std::size_t cut,
                      std::size_t step) {
  Decoded decoded;
  bool good = feed(decoder, input.substr(0, cut), decoded);
  while (good && cut < input.size()) {
    good = feed(decoder, input.substr(cut, step), decoded);
    cut += std::min(step, input.size() - cut);
  }
  if (!good) decoded.payload.clear();  // how much of it came before the error isn't promised
  if (!good) decoded.rest.clear();
  decoded.done = decoder.done();
  decoded.ends_well = decoder.end_of_stream_completes();
  for (const Header& field : decoder.trailers().items()) {
    decoded.trailers.append(field.name).append("=").append(field.value).append(";");
  }
  return decoded;
}

// Whole, cut at every byte, and byte by byte.
Decoded decode(Framing framing, std::uint64_t length, std::string_view input) {
  const auto decoder = [framing, length] { return BodyDecoder(framing, length); };
  const Decoded whole = decode_pieces(decoder(), input, input.size(), 1);
  for (std::size_t cut = 0; cut < input.size(); ++cut) {
    EXPECT_EQ(decode_pieces(decoder(), input, cut, input.size()), whole) << "cut at " << cut;
  }
  EXPECT_EQ(decode_pieces(decoder(), input, 0, 1), whole) << "byte by byte";
  return whole;
}

Decoded chunked(std::string_view input) { return decode(Framing::Chunked, 0, input); }

void expect_refused(std::string_view input) {
  const Decoded decoded = chunked(input);
  EXPECT_NE(decoded.error, "") << input << decoded;
  EXPECT_FALSE(decoded.done) << input;
  EXPECT_FALSE(decoded.ends_well) << input;
}

TEST(BodyDecoder, IsDoneAtOnceWithoutABody) {
  EXPECT_TRUE(BodyDecoder().done());
  EXPECT_TRUE(BodyDecoder(Framing::None, 0).done());
  EXPECT_TRUE(BodyDecoder(Framing::Length, 0).done());
  EXPECT_EQ(BodyDecoder().decode("GET").consumed, 0U);
}

TEST(BodyDecoder, TakesAsManyBytesAsAnnounced) {
  const Decoded decoded = decode(Framing::Length, 5, "helloGET /");

  EXPECT_EQ(decoded.payload, "hello");
  EXPECT_EQ(decoded.rest, "GET /");
  EXPECT_TRUE(decoded.done);
}

TEST(BodyDecoder, DoesNotCompleteAnAnnouncedLengthByClosing) {
  const Decoded decoded = decode(Framing::Length, 5, "hell");

  EXPECT_FALSE(decoded.done);
  EXPECT_FALSE(decoded.ends_well);
}

TEST(BodyDecoder, ReadsUntilTheSenderCloses) {
  const Decoded decoded = decode(Framing::UntilClose, 0, "anything\r\n");

  EXPECT_EQ(decoded.payload, "anything\r\n");
  EXPECT_FALSE(decoded.done);
  EXPECT_TRUE(decoded.ends_well);
}

TEST(BodyDecoder, JoinsChunks) {
  const Decoded decoded = chunked("5\r\nhello\r\n1\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\nGET /");

  EXPECT_EQ(decoded.payload, "hello 0123456789");
  EXPECT_EQ(decoded.rest, "GET /");
  EXPECT_TRUE(decoded.done);
}

TEST(BodyDecoder, PointsAtThePayloadWithinTheConsumedBytes) {
  BodyDecoder decoder(Framing::Chunked, 0);
  const std::string_view in = "5\r\nhello\r\n0\r\n\r\n";

  const BodyDecoder::Step step = decoder.decode(in);

  EXPECT_EQ(step.consumed, 8U);
  EXPECT_EQ(step.payload.data(), in.data() + 3);
  EXPECT_EQ(step.payload.size(), 5U);
}

TEST(BodyDecoder, IsIncompleteWhereverAChunkedBodyIsCut) {
  const std::string_view body = "3;a=b\r\nabc\r\n0\r\nTrailer-Field: x\r\n\r\n";
  for (std::size_t n = 0; n < body.size(); ++n) {
    const Decoded decoded = chunked(body.substr(0, n));

    EXPECT_EQ(decoded.error, "");
    EXPECT_FALSE(decoded.done);
    EXPECT_FALSE(decoded.ends_well);
  }
  EXPECT_TRUE(chunked(body).done);
}

TEST(BodyDecoder, TakesDataThatLooksLikeFraming) {
  EXPECT_EQ(chunked("7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n").payload, "0\r\n\r\n\r\n");
}

TEST(BodyDecoder, DropsExtensions) {
  const Decoded decoded = chunked("3;a;b=c;d=\"e f\"\t\r\nabc\r\n0;x\r\n\r\n");

  EXPECT_EQ(decoded.payload, "abc");
  EXPECT_TRUE(decoded.done);
}

TEST(BodyDecoder, KeepsTrailers) {
  const Decoded decoded = chunked("0\r\nChecksum: abc\r\nX-Other:\r\n\r\nrest");

  EXPECT_EQ(decoded.trailers, "Checksum=abc;X-Other=;");
  EXPECT_EQ(decoded.payload, "");
  EXPECT_EQ(decoded.rest, "rest");
  EXPECT_TRUE(decoded.done);
}

// A receiver that merges trailers into the head must not learn there what we assert or strip.
TEST(BodyDecoder, DropsTrailersThatAssertOrAreHopByHop) {
  const Decoded decoded =
      chunked("0\r\nX-Forwarded-For: 1\r\nx_real_ip: 1\r\nTE: a\r\nUpgrade: b\r\nGood: c\r\n\r\n");

  EXPECT_EQ(decoded.trailers, "Good=c;");
  EXPECT_TRUE(decoded.done);
}

TEST(BodyDecoder, RefusesSizesThatAreNoPlainHexNumber) {
  expect_refused("\r\n");
  expect_refused(";a\r\n");
  expect_refused(" 5\r\nhello\r\n");
  expect_refused("5 \r\nhello\r\n");
  expect_refused("5 ;a\r\nhello\r\n");
  expect_refused("+5\r\nhello\r\n");
  expect_refused("-5\r\nhello\r\n");
  expect_refused("0x5\r\nhello\r\n");
  expect_refused("5h\r\nhello\r\n");
  expect_refused("5,5\r\nhello\r\n");
  expect_refused("5\0\r\nhello\r\n"s);
  expect_refused("g\r\n");
  expect_refused("\xb5\r\nhello\r\n");
}

TEST(BodyDecoder, RefusesSizesOfMoreThan16Digits) {
  expect_refused("10000000000000000\r\n");
  expect_refused("00000000000000005\r\nhello\r\n");
}

TEST(BodyDecoder, TakesTheLargestSize) {
  const Decoded decoded = chunked("ffffffffffffffff\r\nstill going");

  EXPECT_EQ(decoded.payload, "still going");
  EXPECT_FALSE(decoded.done);
}

TEST(BodyDecoder, RefusesLineEndsOtherThanCrLf) {
  expect_refused("5\nhello\r\n");
  expect_refused("5\rhello\r\n");
  expect_refused("5\r\rhello\r\n");
  expect_refused("5\r\nhello\n");
  expect_refused("5\r\nhello\r0");
  expect_refused("5\r\nhello0\r\n");
  expect_refused("5\r\nhello!\r\n");
  expect_refused("5;a\nhello\r\n");
  expect_refused("5;a\rb\r\nhello\r\n");
  expect_refused("0\n\n");
  expect_refused("0\r\n\n");
  expect_refused("0\r\n\rX");
  expect_refused("0\r\nA: b\n\r\n");
  expect_refused("0\r\nA: b\rC: d\r\n\r\n");
}

TEST(BodyDecoder, RefusesControlBytesInExtensions) {
  expect_refused("5;a\x01\r\nhello\r\n");
  expect_refused("5;a\0\r\nhello\r\n"s);
  expect_refused("5;\x7f\r\nhello\r\n");
}

TEST(BodyDecoder, RefusesExtensionsAbove4KibPerMessage) {
  const std::string half = "1;" + std::string(2047, 'x') + "\r\nz\r\n";
  const std::string end = "0\r\n\r\n";

  EXPECT_TRUE(decode_pieces(BodyDecoder(Framing::Chunked, 0), half + half + end, 9999, 1).done);
  EXPECT_EQ(
      decode_pieces(BodyDecoder(Framing::Chunked, 0), half + half + "0;\r\n\r\n", 9999, 1).error,
      "chunk extensions too long");
  EXPECT_EQ(
      decode_pieces(BodyDecoder(Framing::Chunked, 0), "1;" + std::string(4096, 'x'), 9999, 1).error,
      "chunk extensions too long");
}

TEST(BodyDecoder, RefusesTrailersThatAreNoFields) {
  expect_refused("0\r\nA\r\n\r\n");
  expect_refused("0\r\n: b\r\n\r\n");
  expect_refused("0\r\nA : b\r\n\r\n");
  expect_refused("0\r\n A: b\r\n\r\n");
  expect_refused("0\r\nA: b\r\n c\r\n\r\n");
  expect_refused("0\r\nA: \0\r\n\r\n"s);
  expect_refused("0\r\nA: \x7f\r\n\r\n");
  expect_refused("0\r\n\xc3\xa9: b\r\n\r\n");
  expect_refused("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(BodyDecoder, RefusesFramingAndRoutingInTrailers) {
  expect_refused("0\r\nContent-Length: 5\r\n\r\n");
  expect_refused("0\r\ntransfer-encoding: chunked\r\n\r\n");
  expect_refused("0\r\nHost: a\r\n\r\n");
  expect_refused("0\r\nConnection: close\r\n\r\n");
  expect_refused("0\r\nTrailer: A\r\n\r\n");
}

TEST(BodyDecoder, RefusesTrailersAbove8Kib) {
  const std::string most = "0\r\nA: " + std::string(8189, 'x') + "\r\n";

  EXPECT_TRUE(decode_pieces(BodyDecoder(Framing::Chunked, 0), most + "\r\n", 9999, 1).done);
  EXPECT_EQ(decode_pieces(BodyDecoder(Framing::Chunked, 0), most + "B: c\r\n\r\n", 9999, 1).error,
            "trailers too long");
}

TEST(BodyDecoder, KeepsFailing) {
  BodyDecoder decoder(Framing::Chunked, 0);
  ASSERT_NE(decoder.decode("x").error, "");

  EXPECT_NE(decoder.decode("5\r\nhello\r\n").error, "");
  EXPECT_NE(decoder.decode("").error, "");
  EXPECT_EQ(decoder.decode("5\r\nhello\r\n").consumed, 0U);
}

TEST(ChunkEncoder, WritesWhatTheDecoderReads) {
  std::string body;
  append_chunk(body, "hello");
  append_chunk(body, std::string(300, 'x'));
  append_last_chunk(body);

  const Decoded decoded = chunked(body);

  EXPECT_EQ(body.substr(0, 10), "5\r\nhello\r\n");
  EXPECT_EQ(decoded.payload, "hello" + std::string(300, 'x'));
  EXPECT_TRUE(decoded.done);
  EXPECT_EQ(decoded.rest, "");
}

TEST(ChunkEncoderDeathTest, RefusesAnEmptyChunk) {
  std::string body;

  EXPECT_DEATH(append_chunk(body, ""), "empty chunk");
}

}  // namespace
}  // namespace handfast::http
