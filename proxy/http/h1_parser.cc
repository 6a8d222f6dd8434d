#include "proxy/http/h1_parser.h"

#include <cstring>

#include "proxy/http/authority.h"
#include "proxy/http/chars.h"
#include "proxy/http/fields.h"

namespace handfast::http {
namespace {

constexpr std::size_t kMaxMethod = 32;
constexpr int kMaxEmptyLines = 2;
constexpr std::string_view kHttp1 = "HTTP/1.";

std::string_view view(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// Reads "HTTP/1.0" or "HTTP/1.1".
Refusal read_version(Cursor& in, int& minor_version) {
  constexpr std::size_t kLength = 8;
  if (in.left() < kLength || std::memcmp(in.at, "HTTP/", 5) != 0 || !is_digit(in.at[5]) ||
      in.at[6] != '.' || !is_digit(in.at[7])) {
    return {400, "bad HTTP version"};
  }
  if (in.at[5] >= '2') return {505, "HTTP version 2.0 or later"};
  if (in.at[5] != '1' || in.at[7] > '1') return {400, "unknown HTTP version"};
  minor_version = in.at[7] - '0';
  in.at += kLength;
  return {};
}

// A protocol name, with a version perhaps.
bool is_upgrade_protocol(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_token(text);
  return is_token(text.substr(0, slash)) && is_token(text.substr(slash + 1));
}

struct RequestLine {
  std::string_view method;
  std::string_view target;
  int minor_version = 1;
};

Refusal read_request_line(Cursor& in, RequestLine& line) {
  const char* const method = in.at;
  while (in.at != in.end && has_class(*in.at, kTokenChar)) ++in.at;
  line.method = view(method, in.at);
  if (line.method.empty() || in.at == in.end || *in.at != ' ') return {400, "bad method"};
  if (line.method.size() > kMaxMethod) return {400, "method too long"};
  if (line.method == "CONNECT") return {400, "CONNECT"};
  const char* const target = ++in.at;
  while (in.at != in.end && has_class(*in.at, kTargetChar)) ++in.at;
  line.target = view(target, in.at);
  if (line.target.empty() || in.at == in.end || *in.at != ' ') return {400, "bad request target"};
  ++in.at;
  if (const Refusal refusal = read_version(in, line.minor_version)) return refusal;
  if (!skip_crlf(in)) return {400, "bad end of the request line"};
  return {};
}

// Turns "http://host/path" into "/path"; `authority` is what stood between.
Refusal take_absolute_form(RequestHead& head, std::string_view& authority) {
  const std::size_t colon = head.target.find(':');
  const std::string_view scheme = head.target.substr(0, colon);
  if (colon == std::string_view::npos || head.target.substr(colon, 3) != "://" ||
      (!equal_ignore_case(scheme, "http") && !equal_ignore_case(scheme, "https"))) {
    return {400, "request target neither a path nor an http or https URI"};
  }
  const std::string_view rest = head.target.substr(colon + 3);
  const std::size_t path = rest.find_first_of("/?");
  authority = rest.substr(0, path);
  if (path == std::string_view::npos) {
    head.target = head.method == "OPTIONS" ? "*" : "/";  // RFC 9112 3.2.4, 3.2.1
    return {};
  }
  // "/?query" would have to be built; nobody sends this.
  if (rest[path] == '?') return {400, "request target with a query and no path"};
  head.target = rest.substr(path);
  return {};
}

Refusal read_target(RequestHead& head, const FieldFacts& facts) {
  if (facts.hosts > 1) return {400, "two Host fields"};
  if (facts.hosts == 0 && head.minor_version >= 1) return {400, "no Host field"};
  head.authority = facts.host;
  head.host = {};
  if (head.target == "*") {
    if (head.method != "OPTIONS") return {400, "request target * without OPTIONS"};
  } else if (head.target.front() != '/') {
    std::string_view authority;
    if (const Refusal refusal = take_absolute_form(head, authority)) return refusal;
    if (facts.hosts == 0) {
      head.authority = authority;
    } else if (!equal_ignore_case(authority, facts.host)) {
      return {400, "authority of the request target differs from Host"};
    }
    if (head.authority.empty()) return {400, "bad authority"};
  }
  split_target(head);
  if (facts.hosts == 0 && head.authority.empty()) return {};  // HTTP/1.0
  const auto authority = parse_authority(head.authority);
  if (!authority) return {400, "bad Host"};
  head.authority = authority->text;
  head.host = authority->host;
  return {};
}

Refusal skip_empty_lines(Cursor& in) {
  for (int i = 0; in.at != in.end && *in.at == '\r'; ++i) {
    if (i == kMaxEmptyLines || !skip_crlf(in))
      return {400, "empty line in the request line's place"};
  }
  return {};
}

// Reads a whole head. Where `in` holds only a part of one, some refusal comes out.
Refusal read_request(Cursor& in, std::size_t max_line, RequestHead& head) {
  if (const Refusal refusal = skip_empty_lines(in)) return refusal;
  RequestLine line;
  const char* const begin = in.at;
  if (const Refusal refusal = read_request_line(in, line)) return refusal;
  if (view(begin, in.at).size() > max_line + 2) return {414, "request line too long"};
  head.method = line.method;
  head.target = line.target;
  head.minor_version = line.minor_version;
  FieldFacts facts;
  if (const Refusal refusal = read_fields(in, head.headers, facts)) return refusal;
  BodyLength body;
  if (const Refusal refusal = read_body_length(facts, head.minor_version, body)) return refusal;
  head.framing = body.framing;
  head.content_length = body.length;
  head.keep_alive = wants_keep_alive(facts, head.minor_version);
  if (const Refusal refusal = read_target(head, facts)) return refusal;
  if (facts.expect_other) return {417, "unknown expectation"};
  // RFC 9110 10.1.1: ignored in HTTP/1.0.
  head.expect_continue = facts.expect_continue && head.minor_version >= 1;
  head.takes_trailers = facts.te_trailers && head.minor_version >= 1;
  // RFC 9110 7.8. One protocol, and no body whose bytes could be taken for the new protocol's.
  const bool upgrades = facts.upgrade_option && facts.upgrades == 1 && head.minor_version >= 1 &&
                        head.framing == Framing::None && is_upgrade_protocol(facts.upgrade);
  head.upgrade = upgrades ? facts.upgrade : std::string_view();
  return {};
}

struct StatusLine {
  int status = 0;
  std::string_view reason;
  int minor_version = 1;
};

// RFC 9112 4. The blank before an empty reason may be missing, as with many servers.
Refusal read_status_line(Cursor& in, StatusLine& line) {
  if (const Refusal refusal = read_version(in, line.minor_version)) return refusal;
  if (in.left() < 4 || in.at[0] != ' ' || in.at[1] < '1' || in.at[1] > '5' || !is_digit(in.at[2]) ||
      !is_digit(in.at[3])) {
    return {502, "bad status"};
  }
  line.status = (in.at[1] - '0') * 100 + (in.at[2] - '0') * 10 + (in.at[3] - '0');
  in.at += 4;
  if (in.at != in.end && *in.at == ' ') {
    const char* const reason = ++in.at;
    in.at = find_non_value(in.at, in.end);
    line.reason = view(reason, in.at);
  }
  if (!skip_crlf(in)) return {502, "bad end of the status line"};
  return {};
}

// RFC 9112 6.3, for what isn't a tunnel.
void decide_body(ResponseHead& head, const FieldFacts& facts, BodyLength body, bool is_head) {
  const bool never_has_one = head.status < 200 || head.status == 204;
  if (never_has_one || head.status == 304 || is_head) {
    // A sender that announces a body where none can be may send it: read nothing more from it.
    const bool announces = facts.transfer_encodings > 0 || body.length > 0;
    if (never_has_one && announces) head.keep_alive = false;
    body = {};
  } else if (body.framing == Framing::None) {
    body.framing = Framing::UntilClose;
    head.keep_alive = false;
  }
  head.framing = body.framing;
  head.content_length = body.length;
}

Refusal read_response(Cursor& in, std::size_t max_line, bool is_head, ResponseHead& head) {
  StatusLine line;
  const char* const begin = in.at;
  if (const Refusal refusal = read_status_line(in, line)) return refusal;
  if (view(begin, in.at).size() > max_line + 2) return {502, "status line too long"};
  head.status = line.status;
  head.reason = line.reason;
  head.minor_version = line.minor_version;
  FieldFacts facts;
  if (const Refusal refusal = read_fields(in, head.headers, facts)) return refusal;
  BodyLength body;
  if (const Refusal refusal = read_body_length(facts, head.minor_version, body)) return refusal;
  head.keep_alive = wants_keep_alive(facts, head.minor_version);
  decide_body(head, facts, body, is_head);
  return {};
}

// The two kinds of first line, for scan().
struct RequestKind {
  static constexpr bool kSkipsEmptyLines = true;
  static constexpr Refusal kTooLong = {414, "request line too long"};

  static Refusal check_begin(std::string_view line) {
    if (has_class(line.front(), kTokenChar)) return {};
    return {400, line.front() == '\n' ? "bare LF" : "bad method"};
  }
  static Refusal check_line(Cursor line) {
    RequestLine ignored;
    return read_request_line(line, ignored);
  }
};

struct ResponseKind {
  static constexpr bool kSkipsEmptyLines = false;
  static constexpr Refusal kTooLong = {502, "status line too long"};

  static Refusal check_begin(std::string_view line) {
    if (kHttp1.starts_with(line.substr(0, kHttp1.size()))) return {};
    return {502, "not an HTTP/1 response"};
  }
  static Refusal check_line(Cursor line) {
    StatusLine ignored;
    return read_status_line(line, ignored);
  }
};

// What scan() found: a refusal, the end of the head, or (end 0) neither yet.
struct ScanResult {
  Refusal refusal;
  std::size_t end = 0;
};

// Looks at the first line of which `rest` is all there is, with its LF if that has come. Verdicts
// go by position, the same however the bytes were split.
template <class Kind>
Refusal check_first_line(std::string_view rest, std::size_t line_feed, std::size_t max_line) {
  if (const Refusal refusal = Kind::check_begin(rest)) return refusal;
  if (line_feed == std::string_view::npos) {
    return rest.size() > max_line + 1 ? Kind::kTooLong : Refusal{};
  }
  if (line_feed > max_line + 1) return Kind::kTooLong;
  return Kind::check_line({rest.data(), rest.data() + line_feed + 1});
}

// Skips the empty line that `rest`, of at least two bytes, begins with.
template <class Kind>
Refusal skip_empty_line(std::string_view rest, H1Scan& scan) {
  if (rest[1] != '\n' || ++scan.empty_lines > kMaxEmptyLines) {
    return {400, "empty line in the request line's place"};
  }
  scan.line += 2;
  return {};
}

// Looks on for the end of a head that didn't come whole.
template <class Kind>
ScanResult scan_on(std::string_view window, std::size_t max_line, H1Scan& scan) {
  while (!scan.in_fields) {
    const std::string_view rest = window.substr(scan.line);
    if (rest.empty() || rest == "\r") break;
    if (Kind::kSkipsEmptyLines && rest.front() == '\r') {
      if (const Refusal refusal = skip_empty_line<Kind>(rest, scan)) return {refusal, 0};
      continue;
    }
    const std::size_t from = scan.seen > scan.line ? scan.seen - scan.line : 0;
    const std::size_t line_feed = rest.find('\n', from);
    if (const Refusal refusal = check_first_line<Kind>(rest, line_feed, max_line)) {
      return {refusal, 0};
    }
    if (line_feed == std::string_view::npos) break;
    scan.line += line_feed + 1;
    scan.seen = scan.line;
    scan.in_fields = true;
  }
  while (scan.in_fields) {
    const std::size_t line_feed = window.find('\n', scan.seen);
    if (line_feed == std::string_view::npos) break;
    if (window[line_feed - 1] != '\r') return {{400, "bare LF"}, 0};
    if (line_feed == scan.line + 1) return {{}, line_feed + 1};
    scan.line = line_feed + 1;
    scan.seen = scan.line;
  }
  scan.seen = window.size();
  return {};
}

ParseResult bad(const Refusal& refusal) {
  return {ParseStatus::Bad, 0, refusal.status, refusal.what};
}

// `read` reads a whole head from a cursor; it refuses a part of one and leaves nothing behind then.
template <class Kind, class Read>
ParseResult parse_head(std::string_view bytes, const H1Limits& limits, H1Scan& scan, Read read) {
  const std::string_view window = bytes.substr(0, limits.head_bytes);
  if (scan.seen == 0) {
    Cursor in{window.data(), window.data() + window.size()};
    if (!read(in)) return {ParseStatus::Complete, window.size() - in.left(), 0, {}};
    // Not whole, or bad: which one, and of what, the careful way says.
  }
  const ScanResult found = scan_on<Kind>(window, limits.line_bytes, scan);
  if (found.refusal) return bad(found.refusal);
  if (found.end == 0) {
    if (bytes.size() >= limits.head_bytes) return bad({431, "head too large"});
    return {};
  }
  Cursor in{window.data(), window.data() + found.end};
  if (const Refusal refusal = read(in)) return bad(refusal);
  return {ParseStatus::Complete, found.end, 0, {}};
}

}  // namespace

ParseResult H1RequestParser::parse(std::string_view bytes, RequestHead& head) {
  return parse_head<RequestKind>(bytes, limits_, scan_, [this, &head](Cursor& in) {
    const Refusal refusal = read_request(in, limits_.line_bytes, head);
    if (refusal) head = {};
    return refusal;
  });
}

ParseResult H1ResponseParser::parse(std::string_view bytes, std::string_view request_method,
                                    ResponseHead& head) {
  const bool is_head = request_method == "HEAD";
  return parse_head<ResponseKind>(bytes, limits_, scan_, [this, is_head, &head](Cursor& in) {
    const Refusal refusal = read_response(in, limits_.line_bytes, is_head, head);
    if (refusal) head = {};
    return refusal;
  });
}

}  // namespace handfast::http
