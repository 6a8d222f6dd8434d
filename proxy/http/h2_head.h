#pragma once
// Builds a message head from the fields of an HTTP/2 header block as they are decoded (RFC 9113
// 8.2, 8.3), as strictly as HTTP/1.1 is read. Internal to proxy/http; knows no framing.
//
//   clear() -> add()* -> read_request(), read_response() or read_trailers(), once
//
// The fields are kept as lines, "name: value\r\n", so that a head that goes on as HTTP/1.1 is
// copied in a piece, and the views that come out have line ends behind them like those of a parsed
// head. Several cookie fields become one (RFC 9113 8.2.3).
//
// Refused with 400: names that aren't lower-case tokens, values with control bytes or blanks at
// either end, pseudo fields that are unknown, repeated, missing or behind a regular one,
// connection-specific fields, TE other than "trailers", CONNECT, a scheme other than http and
// https, a target that isn't a path or "*" (for OPTIONS), no authority or a bad one, Host that
// differs from it, Content-Length as in h1_parser.h. 417: an expectation other than 100-continue.
// 414: a target longer than the limit. 431: more than the limit's bytes or kMaxHeaders fields.
// Responses are refused for the same reasons where they apply, and for 101 and a status outside
// 100-599.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/fields.h"
#include "proxy/http/message.h"

namespace handfast::http {

struct H2HeadLimits {
  std::size_t head_bytes = 32 * 1024;  // names and values and 32 a field (RFC 9113 6.5.2)
  std::size_t target_bytes = 8 * 1024;
};

class H2Head {
 public:
  void clear();

  // What is wrong with a field is told by read_*(); beyond the limits nothing is kept.
  void add(std::string_view name, std::string_view value, const H2HeadLimits& limits);
  // As counted against head_bytes, of all that were added.
  [[nodiscard]] std::size_t decoded_bytes() const noexcept { return decoded_bytes_; }

  // By its content type, if that came before what is wrong.
  [[nodiscard]] bool is_grpc() const;
  // The views that come out are good until clear(). `ends`: nothing follows the head.
  [[nodiscard]] Refusal read_request(const H2HeadLimits& limits, bool ends, RequestHead& head);
  [[nodiscard]] Refusal read_response(bool to_head_request, bool ends, ResponseHead& head);
  // Those that frame, route, concern one hop or are Protected are dropped.
  [[nodiscard]] Refusal read_trailers(HeaderList& trailers);

  // Memory beyond `bytes` is given back.
  void shrink(std::size_t bytes);

 private:
  enum Pseudo : std::uint8_t { Method, Scheme, Authority, Path, Status, kPseudos };

  // A field in lines_; the value ends before a CRLF.
  struct Piece {
    std::uint32_t begin;
    std::uint32_t value;
    std::uint32_t end;
    std::uint16_t name_size;
    HeaderId id;
    bool is_cookie;
  };

  void refuse(int status, std::string_view what);
  void add_pseudo(std::string_view name, std::string_view value);
  void check_value(std::string_view value);
  void join_cookies();
  [[nodiscard]] Piece append_line(std::string_view name, std::string_view value);
  [[nodiscard]] std::string_view pseudo(Pseudo which) const;
  [[nodiscard]] bool has(Pseudo which) const { return pseudo_[which].end != 0; }
  [[nodiscard]] Refusal read_fields(HeaderList& headers, FieldFacts& facts) const;
  [[nodiscard]] Refusal read_target(const H2HeadLimits& limits, const FieldFacts& facts,
                                    RequestHead& head) const;

  std::string lines_;
  std::vector<Piece> pieces_;
  std::array<Piece, kPseudos> pseudo_{};
  Refusal refusal_;  // the first reason
  std::size_t decoded_bytes_ = 0;
  std::size_t cookies_ = 0;
};

}  // namespace handfast::http
