// A chunked body, whole and byte by byte: the same payload, end and error; and what was decoded,
// encoded again, decodes to the same.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/http/body.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

using http::BodyDecoder;
using http::Framing;

struct Decoded {
  std::string payload;
  std::size_t consumed = 0;
  std::string_view error;
  bool done = false;
};

Decoded decode(std::string_view bytes, std::size_t piece) {
  BodyDecoder decoder(Framing::Chunked, 0);
  Decoded decoded;
  while (decoded.consumed < bytes.size() && !decoder.done()) {
    const std::string_view in = bytes.substr(decoded.consumed, piece);
    const BodyDecoder::Step step = decoder.decode(in);
    decoded.error = step.error;
    if (!step.error.empty()) break;
    check(step.consumed > 0 && step.consumed <= in.size(), "consumes nothing or too much");
    check(step.payload.empty() ||
              (step.payload.data() >= in.data() &&
               step.payload.data() + step.payload.size() <= in.data() + step.consumed),
          "payload outside the consumed part");
    decoded.payload.append(step.payload);
    decoded.consumed += step.consumed;
  }
  decoded.done = decoder.done();
  check(decoder.end_of_stream_completes() == decoded.done, "cut body taken for whole");
  return decoded;
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const Decoded whole = decode(bytes, bytes.size());
  const Decoded dripped = decode(bytes, 1);
  check(whole.error == dripped.error && whole.done == dripped.done, "depends on the split");
  check(whole.payload == dripped.payload, "payload by the split");
  if (!whole.done) return;
  check(whole.consumed == dripped.consumed, "end by the split");

  std::string encoded;
  if (!whole.payload.empty()) http::append_chunk(encoded, whole.payload);
  http::append_last_chunk(encoded);
  const Decoded again = decode(encoded, encoded.size());
  check(again.done && again.consumed == encoded.size(), "our own chunks don't end");
  check(again.payload == whole.payload, "our own chunks change the payload");
}

}  // namespace handfast
