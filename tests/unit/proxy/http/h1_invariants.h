#pragma once
// What holds of every head that the parsers let through, whatever the input: for the mutation test
// and the fuzz targets.

#include <cstdint>
#include <string_view>

#include "proxy/http/authority.h"
#include "proxy/http/chars.h"
#include "proxy/http/h1_parser.h"
#include "proxy/http/message.h"

namespace handfast::http {

inline bool lies_within(std::string_view part, std::string_view bytes) {
  return part.empty() ||
         (part.data() >= bytes.data() && part.data() + part.size() <= bytes.data() + bytes.size());
}

inline bool all_of_class(std::string_view text, std::uint8_t classes) {
  for (const char c : text) {
    if (!has_class(c, classes)) return false;
  }
  return true;
}

// Null, or the invariant that is broken.
inline const char* broken_invariant(const HeaderList& headers, std::string_view bytes) {
  for (const Header& header : headers.items()) {
    if (!lies_within(header.name, bytes) || !lies_within(header.value, bytes)) {
      return "field outside the buffer";
    }
    if (!is_token(header.name)) return "field name is no token";
    if (!all_of_class(header.value, kValueChar)) return "control byte in a value";
    if (trim_blanks(header.value) != header.value) return "blanks around a value";
  }
  return nullptr;
}

inline const char* broken_invariant(const ParseResult& result, std::string_view bytes,
                                    const H1Limits& limits) {
  if (result.consumed > bytes.size()) return "more consumed than there is";
  if (result.status == ParseStatus::Complete) {
    if (result.consumed > limits.head_bytes) return "head above its limit";
    if (!bytes.substr(0, result.consumed).ends_with("\r\n\r\n")) return "head without its end";
  } else if (result.consumed != 0) {
    return "bytes consumed without a head";
  }
  if ((result.status == ParseStatus::Bad) == result.error.empty()) return "error without its text";
  return nullptr;
}

inline const char* broken_invariant(const RequestHead& head, std::string_view bytes) {
  const bool constant_target = head.target == "/" || head.target == "*";
  if (!lies_within(head.method, bytes) || !is_token(head.method)) return "bad method";
  if (head.method.size() > 32 || head.method == "CONNECT") return "forbidden method";
  if (!constant_target && !lies_within(head.target, bytes)) return "target outside the buffer";
  if (!all_of_class(head.target, kTargetChar)) return "bad byte in the target";
  if (head.target == "*" ? head.method != "OPTIONS" : !head.target.starts_with('/')) {
    return "target of another form";
  }
  if (!lies_within(head.path, head.target) || !lies_within(head.query, head.target)) {
    return "path or query outside the target";
  }
  if (!lies_within(head.authority, bytes) || !lies_within(head.host, head.authority)) {
    return "authority outside the buffer";
  }
  if (head.authority.empty() ? head.minor_version >= 1 : !parse_authority(head.authority)) {
    return "bad authority";
  }
  if (head.framing == Framing::UntilClose) return "request until close";
  if (head.framing == Framing::Chunked && head.minor_version == 0) return "chunks in HTTP/1.0";
  if (head.framing != Framing::Length && head.content_length != 0) return "length without framing";
  return broken_invariant(head.headers, bytes);
}

inline const char* broken_invariant(const ResponseHead& head, std::string_view bytes) {
  if (head.status < 100 || head.status > 599) return "bad status";
  if (!lies_within(head.reason, bytes) || !all_of_class(head.reason, kValueChar)) {
    return "bad reason";
  }
  if (head.framing == Framing::UntilClose && head.keep_alive) return "kept alive until close";
  if (head.framing != Framing::Length && head.content_length != 0) return "length without framing";
  return broken_invariant(head.headers, bytes);
}

}  // namespace handfast::http
