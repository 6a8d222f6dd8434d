// What an HTTP/2 backend sends, whole and cut in two: the same events, whatever it says to three
// requests that it has.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"
#include "tests/fuzz/fuzz_one.h"
#include "tests/fuzz/h2_events.h"

namespace handfast {
namespace {

using http::H2Codec;
using http::H2StreamId;
using http::ResponseHead;

// Small, so that short inputs reach them.
constexpr http::H2Limits kLimits{.head_bytes = 2048, .stream_window = 65'535};

// The head of HTTP/1.1 that a client would get.
void check_forwarding(const ResponseHead& head, std::string_view method) {
  std::string out;
  const bool chunked = head.framing == http::Framing::Chunked;
  http::append_response_head(out, head, {.chunked = chunked});
  if (head.headers.items().size() + 5 > http::kMaxHeaders) return;
  ResponseHead again;
  const http::ParseResult result =
      http::H1ResponseParser({.head_bytes = 16'384, .line_bytes = 8192}).parse(out, method, again);
  check(result.status == http::ParseStatus::Complete, "forwarded head refused");
  check(result.consumed == out.size(), "forwarded head split");
  check(again.status == head.status && again.framing == head.framing, "another response");
  check(again.content_length == head.content_length, "another length");
}

class Client final : public http::H2EventRecord {
 public:
  Client() : codec(H2Codec::Role::Client, *this, kLimits) {
    for (const std::string_view method : {"GET", "HEAD", "POST"}) {
      http::RequestHead head;
      head.method = method;
      head.target = "/";
      head.authority = "a.example";
      check(codec.send_request(head, "https", {}, method != "POST").has_value(), "no stream");
    }
    codec.send_body(5, "body");
    http::drain(codec);
  }

  H2Codec codec;

  void on_h2_response(H2StreamId stream, const ResponseHead& head) override {
    H2EventRecord::on_h2_response(stream, head);
    check_forwarding(head, stream == 3 ? "HEAD" : "GET");
  }
  void on_h2_data(H2StreamId stream, std::string_view payload) override {
    H2EventRecord::on_h2_data(stream, payload);
    check(stream != 3, "a body for HEAD");
    codec.consume(stream, payload.size());
  }
  void on_h2_end(H2StreamId stream, const http::HeaderList& trailers) override {
    H2EventRecord::on_h2_end(stream, trailers);
    codec.send_end(stream, trailers.items());
  }
};

struct Outcome {
  bool fed = true;
  std::string events;
};

Outcome run(std::string_view first, std::string_view second) {
  Client client;
  Outcome outcome;
  for (const std::string_view piece : {first, second}) {
    if (!client.codec.feed(piece)) outcome.fed = false;
  }
  http::drain(client.codec);
  if (!outcome.fed) check(client.codec.finished(), "a failed connection goes on");
  outcome.events = client.text;
  return outcome;
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const Outcome whole = run(bytes, {});
  const Outcome split = run(bytes.substr(0, bytes.size() / 2), bytes.substr(bytes.size() / 2));
  check(whole.events == split.events, "events by the split");
  check(whole.fed == split.fed, "failure by the split");
}

}  // namespace handfast
