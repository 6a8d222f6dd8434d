#pragma once
// The head of an HTTP/1.1 request (RFC 9112), as much of it as a small server needs. What two
// parsers could read differently is refused: bare line feeds, folded lines, blanks before a colon,
// lengths that contradict each other.
//
// Pure; thread-safe.

#include <cstddef>
#include <string>
#include <string_view>

#include "proxy/base/result.h"

namespace handfast::serving {

struct RequestHead {
  std::string method;
  std::string path;  // of the target, without its query
  std::size_t length = 0;
  bool has_length = false;
  bool is_chunked = false;        // or encoded for transfer in any other way
  bool closes = false;            // the client wants no other request on this connection
  bool expects_continue = false;  // RFC 9110 10.1.1
};

// `text`: up to the empty line, with it. InvalidValue for what is none.
[[nodiscard]] Result<RequestHead> parse_request_head(std::string_view text);

}  // namespace handfast::serving
