#pragma once
// Reads HTTP/1.x heads, strictly: what two parsers could read differently is refused, not repaired
// (RFC 9112; RFC 9110 5). Requests from clients and responses from backends alike: both are hostile.
//
// I/O-free. The caller keeps all bytes of the head in one contiguous buffer and calls parse() with
// the whole of it, from the first byte of the message, each time more has arrived; the parser only
// remembers how far it has looked for the end, so each byte is scanned once. The result of any
// split of the input is the same. Never allocates.
//
// Refused with 400: bare CR or LF, NUL or control bytes in names and values, blanks before the
// colon or the first header, obs-fold, empty names, names that aren't tokens, missing or repeated
// Host (HTTP/1.1), a Host that isn't a valid authority, absolute-form whose authority differs from
// Host or whose scheme isn't http/https, authority-form and CONNECT, '#' in the target, bytes
// outside visible ASCII in the target, Content-Length that isn't one plain decimal number or occurs
// twice, Content-Length with Transfer-Encoding, Transfer-Encoding in HTTP/1.0. 501: a transfer
// coding other than exactly "chunked". 505: HTTP/2.0 and up; 400 for other versions. 431: head
// larger than the limit, more than kMaxHeaders fields. 414: request line longer than its limit.
// Leading empty lines before a request line are skipped (RFC 9112 2.2), at most 2.

#include <cstddef>
#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

struct H1Limits {
  std::size_t head_bytes = 32 * 1024;   // request: 431; response: refused
  std::size_t line_bytes = 8 * 1024;    // request line: 414
};

enum class ParseStatus : std::uint8_t { Incomplete, Complete, Bad };

struct ParseResult {
  ParseStatus status = ParseStatus::Incomplete;
  std::size_t consumed = 0;  // Complete: bytes of the head, with its empty line
  int http_status = 0;       // Bad, for requests: what to answer, then close
  std::string_view error;    // Bad: what is wrong, a constant: "two Content-Length fields"
};

class H1RequestParser {
 public:
  explicit H1RequestParser(H1Limits limits = {}) : limits_(limits) {}
  // `head` is written only with Complete; its views point into `bytes`.
  ParseResult parse(std::string_view bytes, RequestHead& head);
  // Before the next message.
  void reset() { scanned_ = 0; }

 private:
  H1Limits limits_;
  std::size_t scanned_ = 0;
};

class H1ResponseParser {
 public:
  explicit H1ResponseParser(H1Limits limits = {}) : limits_(limits) {}
  // `request_method` decides whether there is a body (HEAD; RFC 9112 6.3). Bad: close, never pool,
  // answer 502. 1xx heads come out as Complete with Framing::None; the caller goes on parsing.
  ParseResult parse(std::string_view bytes, std::string_view request_method, ResponseHead& head);
  void reset() { scanned_ = 0; }

 private:
  H1Limits limits_;
  std::size_t scanned_ = 0;
};

}  // namespace handfast::http
