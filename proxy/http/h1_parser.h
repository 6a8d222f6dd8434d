#pragma once
// Reads HTTP/1.x heads, strictly: what two parsers could read differently is refused, not repaired
// (RFC 9112; RFC 9110 5). Requests from clients and responses from backends alike: both are
// hostile.
//
// I/O-free. The caller keeps all bytes of the head in one contiguous buffer and calls parse() with
// the whole of it, from the first byte of the message, each time more has arrived; the buffer may
// move between calls. A head that arrives whole is read in one pass; else the parser remembers how
// far it has looked for the end, so that no sender can make it scan a byte more than a few times.
// The result of any split of the input is the same, and a first line that can't become a good one
// is refused as soon as that is known. Never allocates.
//
// Refused with 400: bare CR or LF, NUL or control bytes in names and values, blanks before the
// colon or the first header, obs-fold, empty names, names that aren't tokens, methods that aren't
// tokens of at most 32 bytes, Host missing (HTTP/1.1) or repeated or no valid authority
// (authority.h), absolute-form whose authority differs from Host, whose scheme isn't http/https or
// that has a query without a path, authority-form and CONNECT, "*" but for OPTIONS, '#' in the
// target, bytes outside visible ASCII in the target, Content-Length that isn't one plain decimal
// number below 2^63 or occurs twice, Content-Length with Transfer-Encoding, two Transfer-Encoding
// fields, Transfer-Encoding in HTTP/1.0, a Connection field that isn't a list of tokens or names
// more than kMaxConnectionOptions. 417: an expectation other than 100-continue. 501: a transfer
// coding other than exactly "chunked". 505: HTTP/2.0 and up; 400 for other versions than 1.0
// and 1.1. 431: head larger than the limit, more than kMaxHeaders fields. 414: request line longer
// than its limit. Leading empty lines before a request line are skipped (RFC 9112 2.2), at most 2.
//
// Responses are refused for the same reasons where they apply, and for a status outside 100-599.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

struct H1Limits {
  std::size_t head_bytes = 32 * 1024;  // request: 431; response: refused
  std::size_t line_bytes = 8 * 1024;   // request line: 414
};

enum class ParseStatus : std::uint8_t { Incomplete, Complete, Bad };

struct ParseResult {
  ParseStatus status = ParseStatus::Incomplete;
  std::size_t consumed = 0;  // Complete: bytes of the head, with its empty line
  int http_status = 0;       // Bad, for requests: what to answer, then close
  std::string_view error;    // Bad: what is wrong, a constant: "two Content-Length fields"
};

// How far a head that didn't arrive whole has been looked at; offsets from its first byte.
struct H1Scan {
  std::size_t seen = 0;    // bytes looked at
  std::size_t line = 0;    // where the line that isn't complete begins
  int empty_lines = 0;     // skipped before the first line
  bool in_fields = false;  // the first line is complete and good
};

class H1RequestParser {
 public:
  explicit H1RequestParser(H1Limits limits = {}) : limits_(limits) {}
  // `head` holds something only with Complete: views into `bytes`, or of constants ("/" for an
  // absolute-form target without a path). Else it is empty.
  ParseResult parse(std::string_view bytes, RequestHead& head);
  // Before the next message.
  void reset() { scan_ = {}; }

 private:
  H1Limits limits_;
  H1Scan scan_;
};

class H1ResponseParser {
 public:
  explicit H1ResponseParser(H1Limits limits = {}) : limits_(limits) {}
  // `request_method` decides whether there is a body (HEAD; RFC 9112 6.3). Bad: close, never pool,
  // answer 502. 1xx heads come out as Complete with Framing::None; the caller goes on parsing after
  // reset().
  ParseResult parse(std::string_view bytes, std::string_view request_method, ResponseHead& head);
  void reset() { scan_ = {}; }

 private:
  H1Limits limits_;
  H1Scan scan_;
};

}  // namespace handfast::http
