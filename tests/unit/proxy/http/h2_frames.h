#pragma once
// HTTP/2 frames by hand, and a log of what a codec tells.

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "proxy/base/buffer.h"
#include "proxy/http/h2_codec.h"

namespace handfast::http::h2 {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::uint8_t kEndStream = 0x1;
inline constexpr std::uint8_t kAck = 0x1;
inline constexpr std::uint8_t kEndHeaders = 0x4;

using Fields = std::vector<std::pair<std::string, std::string>>;

inline std::string number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

inline std::string frame(std::uint8_t type, std::uint8_t flags, H2StreamId stream,
                         std::string_view payload) {
  std::string out = number(payload.size(), 3) + number(type, 1) + number(flags, 1);
  return out.append(number(static_cast<std::uint32_t>(stream), 4)).append(payload);
}

// HPACK without table and Huffman: literals that nobody remembers (RFC 7541 6.2.2).
inline std::string block(const Fields& fields) {
  const auto text = [](const std::string& value) {
    std::string out;
    if (value.size() < 127) return out + static_cast<char>(value.size()) + value;
    out.push_back('\x7f');
    std::size_t left = value.size() - 127;
    for (; left >= 128; left /= 128) out.push_back(static_cast<char>(left % 128 + 128));
    out.push_back(static_cast<char>(left));
    return out + value;
  };
  std::string out;
  for (const auto& [name, value] : fields) {
    out.push_back('\0');
    out.append(text(name)).append(text(value));
  }
  return out;
}

inline std::string headers(H2StreamId stream, const Fields& fields, bool end = true) {
  return frame(1, kEndHeaders | (end ? kEndStream : 0), stream, block(fields));
}
inline std::string data(H2StreamId stream, std::string_view payload, bool end = false) {
  return frame(0, end ? kEndStream : 0, stream, payload);
}
inline std::string rst(H2StreamId stream, std::uint32_t code) {
  return frame(3, 0, stream, number(code, 4));
}
inline std::string settings(std::string_view entries = {}) { return frame(4, 0, 0, entries); }
inline std::string settings_ack() { return frame(4, kAck, 0, {}); }
inline std::string ping() { return frame(6, 0, 0, "12345678"); }
inline std::string window_update(H2StreamId stream, std::uint32_t bytes) {
  return frame(8, 0, stream, number(bytes, 4));
}
inline std::string goaway(H2StreamId last, std::uint32_t code) {
  return frame(7, 0, 0, number(static_cast<std::uint32_t>(last), 4) + number(code, 4));
}

inline Fields get(std::string path = "/") {
  return {{":method", "GET"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", path}};
}
inline Fields post() {
  return {{":method", "POST"}, {":scheme", "https"}, {":authority", "a.example"}, {":path", "/"}};
}
inline Fields with(Fields fields, std::string name, std::string value) {
  fields.emplace_back(std::move(name), std::move(value));
  return fields;
}
// What a client sends first.
inline std::string opening() { return std::string(kPreface) + settings() + settings_ack(); }

struct Frame {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  H2StreamId stream = 0;
  std::string payload;

  [[nodiscard]] std::uint32_t word(std::size_t at) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      value = value << 8U | static_cast<unsigned char>(payload.at(at + i));
    }
    return value;
  }
};

inline std::vector<Frame> frames_of(std::string_view bytes) {
  if (bytes.starts_with(kPreface)) bytes.remove_prefix(kPreface.size());
  std::vector<Frame> out;
  while (bytes.size() >= 9) {
    const auto byte = [&bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const std::size_t length = byte(0) << 16U | byte(1) << 8U | byte(2);
    const H2StreamId stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    out.push_back({byte(3), byte(4), stream, std::string(bytes.substr(9, length))});
    bytes.remove_prefix(std::min(bytes.size(), 9 + length));
  }
  return out;
}

// Writes down what it is told, one line each.
class Log : public H2Codec::Events {
 public:
  std::string text;
  // Body bytes are consumed as they come.
  H2Codec* consumer = nullptr;

  void on_h2_request(H2StreamId stream, const RequestHead& head) override {
    line(stream) << "request " << head.method << " " << head.target << " at " << head.authority;
    note_framing(head.framing, head.content_length);
    if (head.takes_trailers) text.append(" trailers");
    if (head.expect_continue) text.append(" expect");
    note_fields(head.headers);
  }
  void on_h2_bad_request(H2StreamId stream, int status, std::string_view what) override {
    EXPECT_FALSE(what.empty());
    line(stream) << "bad " << std::to_string(status) << "\n";
  }
  void on_h2_response(H2StreamId stream, const ResponseHead& head) override {
    line(stream) << "response " << std::to_string(head.status);
    note_framing(head.framing, head.content_length);
    note_fields(head.headers);
  }
  void on_h2_data(H2StreamId stream, std::string_view payload) override {
    // However it was cut, one line.
    const std::string begin = std::to_string(stream) + " data ";
    const std::size_t last = text.rfind('\n', text.size() - 2) + 1;
    if (!text.empty() && text.substr(last).starts_with(begin)) {
      text.pop_back();
      text.append(payload).append("\n");
    } else {
      line(stream) << "data " << payload << "\n";
    }
    if (consumer != nullptr) consumer->consume(stream, payload.size());
  }
  void on_h2_end(H2StreamId stream, const HeaderList& trailers) override {
    line(stream) << "end";
    note_fields(trailers);
  }
  void on_h2_closed(H2StreamId stream, H2Error error) override {
    line(stream) << "closed " << std::to_string(static_cast<unsigned>(error)) << "\n";
  }
  void on_h2_drained(H2StreamId stream) override { line(stream) << "drained\n"; }
  void on_h2_goaway(H2StreamId last, H2Error error) override {
    line(0) << "goaway " << std::to_string(last) << " "
            << std::to_string(static_cast<unsigned>(error)) << "\n";
  }
  void on_h2_pong() override { line(0) << "pong\n"; }

 private:
  struct Line {
    std::string& out;
    const Line& operator<<(std::string_view more) const {
      out.append(more);
      return *this;
    }
  };
  Line line(H2StreamId stream) {
    text.append(std::to_string(stream)).append(" ");
    return {text};
  }
  void note_framing(Framing framing, std::uint64_t length) {
    if (framing == Framing::Length) text.append(" length ").append(std::to_string(length));
    if (framing == Framing::Chunked) text.append(" streamed");
  }
  void note_fields(const HeaderList& fields) {
    for (const Header& field : fields.items()) {
      text.append(" [").append(field.name).append(": ").append(field.value).append("]");
    }
    text.append("\n");
  }
};

// A codec with its log, and what it has written.
struct End {
  explicit End(H2Codec::Role role, const H2Limits& limits = {}) : codec(role, log, limits) {}

  // Takes what is to be sent, up to `mark` bytes.
  std::string take(std::size_t mark = 1 << 20) {
    BufferPool pool;
    Buffer out(pool);
    codec.produce(out, mark);
    return std::string(out.view());
  }

  Log log;
  H2Codec codec;
};

// Carries bytes both ways until nobody has any.
inline void talk(End& client, End& server) {
  for (bool more = true; more;) {
    const std::string up = client.take();
    const std::string down = (static_cast<void>(server.codec.feed(up)), server.take());
    static_cast<void>(client.codec.feed(down));
    more = !up.empty() || !down.empty();
  }
}

}  // namespace handfast::http::h2
