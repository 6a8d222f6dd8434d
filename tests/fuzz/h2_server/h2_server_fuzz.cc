// What an HTTP/2 client sends behind its preface, whole and cut in two: the same events, and each
// request is one that our HTTP/1.1 parser reads as the same when it is forwarded.

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
using http::RequestHead;

// Small, so that short inputs reach them.
constexpr http::H2Limits kLimits{
    .max_streams = 4, .head_bytes = 2048, .target_bytes = 512, .stream_window = 65'535};

void check_forwarding(const RequestHead& head) {
  std::string out;
  http::append_request_head(out, head, {"192.0.2.7", "http", 80, "0123456789abcdef"});
  if (head.headers.items().size() + 10 > http::kMaxHeaders) return;
  RequestHead again;
  const http::ParseResult result =
      http::H1RequestParser({.head_bytes = 16'384, .line_bytes = 8192}).parse(out, again);
  check(result.status == http::ParseStatus::Complete, "forwarded head refused");
  check(result.consumed == out.size(), "forwarded head split");
  check(again.method == head.method && again.target == head.target, "another request");
  check(again.authority == head.authority && again.host == head.host, "another host");
  check(again.framing == head.framing, "another framing");
  check(again.content_length == head.content_length, "another length");
}

// Answers everything.
class Server final : public http::H2EventRecord {
 public:
  Server() : codec(H2Codec::Role::Server, *this, kLimits) {}

  H2Codec codec;

  void on_h2_request(H2StreamId stream, const RequestHead& head) override {
    H2EventRecord::on_h2_request(stream, head);
    check(!head.host.empty() && head.major_version == 2, "not whole");
    check_forwarding(head);
    codec.send_head(stream, 200, {}, false);
    codec.send_body(stream, head.target);
  }
  void on_h2_bad_request(H2StreamId stream, int status, std::string_view what) override {
    H2EventRecord::on_h2_bad_request(stream, status, what);
    codec.send_head(stream, status, {}, true);
  }
  void on_h2_data(H2StreamId stream, std::string_view payload) override {
    H2EventRecord::on_h2_data(stream, payload);
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
  http::H2Flood flood = http::H2Flood::None;
};

Outcome run(std::string_view first, std::string_view second) {
  Server server;
  Outcome outcome;
  outcome.fed = server.codec.feed("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").has_value();
  for (const std::string_view piece : {first, second}) {
    if (!server.codec.feed(piece)) outcome.fed = false;
  }
  http::drain(server.codec);
  if (!outcome.fed) check(server.codec.finished(), "a failed connection goes on");
  if (server.codec.finished()) check(!server.codec.wants_produce(), "finished, but more to send");
  outcome.events = server.text;
  outcome.flood = server.codec.flood();
  return outcome;
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const Outcome whole = run(bytes, {});
  const Outcome split = run(bytes.substr(0, bytes.size() / 2), bytes.substr(bytes.size() / 2));
  check(whole.flood == split.flood, "flood by the split");
  check(whole.events == split.events, "events by the split");
  check(whole.fed == split.fed, "failure by the split");
}

}  // namespace handfast
