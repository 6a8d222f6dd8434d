#pragma once
// Parses an input whole and cut at every byte, and holds the parsers to one and the same outcome.

#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "proxy/http/h1_parser.h"
#include "proxy/http/message.h"

namespace handfast::http {

inline std::string describe(const HeaderList& headers) {
  std::string out;
  for (const Header& header : headers.items()) {
    out.append(header.name).append("=").append(header.value);
    out.append("#").append(std::to_string(static_cast<int>(header.id))).append("\n");
  }
  return out;
}

inline std::string describe(const RequestHead& head) {
  std::string out;
  out.append(head.method).append("|").append(head.target).append("|").append(head.path);
  out.append("|").append(head.query).append("|").append(head.authority).append("|");
  out.append(head.host).append("|").append(std::to_string(head.minor_version));
  out.append(head.keep_alive ? "|keep" : "|close").append(head.expect_continue ? "|expect" : "");
  out.append("|").append(std::to_string(static_cast<int>(head.framing)));
  out.append("|").append(std::to_string(head.content_length)).append("\n");
  return out + describe(head.headers);
}

inline std::string describe(const ResponseHead& head) {
  std::string out = std::to_string(head.status);
  out.append("|").append(head.reason).append("|").append(std::to_string(head.minor_version));
  out.append(head.keep_alive ? "|keep" : "|close").append("|");
  out.append(std::to_string(static_cast<int>(head.framing))).append("|");
  out.append(std::to_string(head.content_length)).append("\n");
  return out + describe(head.headers);
}

struct Outcome {
  ParseStatus status = ParseStatus::Incomplete;
  std::size_t consumed = 0;
  int http_status = 0;
  std::string error;
  std::string head;  // described; empty unless Complete

  friend bool operator==(const Outcome&, const Outcome&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    return out << "status " << static_cast<int>(outcome.status) << ", consumed " << outcome.consumed
               << ", http " << outcome.http_status << ", error '" << outcome.error << "', head "
               << outcome.head;
  }
};

struct RequestSide {
  H1Limits limits;

  using Parser = H1RequestParser;
  using Head = RequestHead;
  [[nodiscard]] ParseResult parse(Parser& parser, std::string_view bytes, Head& head) const {
    return parser.parse(bytes, head);
  }
};

struct ResponseSide {
  H1Limits limits;
  std::string_view request_method = "GET";

  using Parser = H1ResponseParser;
  using Head = ResponseHead;
  [[nodiscard]] ParseResult parse(Parser& parser, std::string_view bytes, Head& head) const {
    return parser.parse(bytes, request_method, head);
  }
};

// One call of parse() on a copy without a byte to spare, so that ASan sees a read beyond it.
template <class Side>
Outcome parse_step(const Side& side, typename Side::Parser& parser, std::string_view bytes) {
  const auto copy = std::make_unique<char[]>(bytes.size());
  bytes.copy(copy.get(), bytes.size());
  typename Side::Head head;
  const ParseResult result = side.parse(parser, {copy.get(), bytes.size()}, head);
  const bool complete = result.status == ParseStatus::Complete;
  return {result.status, result.consumed, result.http_status, std::string(result.error),
          complete ? describe(head) : ""};
}

template <class Side>
Outcome outcome_of(const Side& side, std::string_view input) {
  typename Side::Parser parser(side.limits);
  const Outcome whole = parse_step(side, parser, input);
  for (std::size_t cut = 0; cut < input.size(); ++cut) {
    typename Side::Parser split(side.limits);
    const Outcome first = parse_step(side, split, input.substr(0, cut));
    const bool decided = first.status != ParseStatus::Incomplete;
    EXPECT_EQ(decided ? first : parse_step(side, split, input), whole) << "cut at " << cut;
  }
  typename Side::Parser dripped(side.limits);
  Outcome last;
  for (std::size_t n = 1; n <= input.size() && last.status == ParseStatus::Incomplete; ++n) {
    last = parse_step(side, dripped, input.substr(0, n));
  }
  EXPECT_EQ(last, whole) << "byte by byte";
  return whole;
}

}  // namespace handfast::http
