#include "proxy/http/h2_head.h"

#include <algorithm>

#include "proxy/http/authority.h"
#include "proxy/http/chars.h"
#include "proxy/http/grpc.h"
#include "proxy/http/header_id.h"
#include "proxy/http/phrases.h"
#include "proxy/http/trailers.h"

namespace handfast::http {
namespace {

constexpr std::size_t kMaxMethod = 32;
constexpr std::size_t kFieldOverhead = 32;  // RFC 9113 6.5.2
constexpr std::string_view kLineEnd = "\r\n";

struct NameLook {
  bool good = false;
  bool odd = false;  // for identify_aliased_header()
};

NameLook look_at_name(std::string_view name) {
  unsigned seen = 0;
  for (const char c : name) {
    const unsigned classes = classes_of(c);
    if ((classes & kTokenChar) == 0 || c != to_lower(c)) return {};
    seen |= classes;
  }
  return {!name.empty(), (seen & kOddNameChar) != 0};
}

bool is_connection_specific(HeaderId id) {
  return id == HeaderId::Connection || id == HeaderId::KeepAlive ||
         id == HeaderId::ProxyConnection || id == HeaderId::TransferEncoding ||
         id == HeaderId::Upgrade;
}

bool is_target(std::string_view text) {
  for (const char c : text) {
    if (!has_class(c, kTargetChar)) return false;
  }
  return !text.empty() && (text.front() == '/' || text == "*");
}

// 0: not three digits that begin with 1 to 5.
int parse_status(std::string_view text) {
  if (text.size() != 3 || text[0] < '1' || text[0] > '5' || !is_digit(text[1]) ||
      !is_digit(text[2])) {
    return 0;
  }
  return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

}  // namespace

void H2Head::clear() {
  lines_.clear();
  pieces_.clear();
  pseudo_ = {};
  refusal_ = {};
  decoded_bytes_ = 0;
  cookies_ = 0;
}

void H2Head::shrink(std::size_t bytes) {
  if (lines_.capacity() > bytes) std::string().swap(lines_);
  if (pieces_.capacity() * sizeof(Piece) > bytes) std::vector<Piece>().swap(pieces_);
}

void H2Head::refuse(int status, std::string_view what) {
  if (!refusal_) refusal_ = {status, what};
}

H2Head::Piece H2Head::append_line(std::string_view name, std::string_view value) {
  Piece piece{};
  piece.begin = static_cast<std::uint32_t>(lines_.size());
  piece.name_size = static_cast<std::uint16_t>(name.size());
  if (!name.empty()) lines_.append(name).append(": ");
  piece.value = static_cast<std::uint32_t>(lines_.size());
  lines_.append(value);
  piece.end = static_cast<std::uint32_t>(lines_.size());
  lines_.append(kLineEnd);
  return piece;
}

void H2Head::check_value(std::string_view value) {
  const char* const end = value.data() + value.size();
  if (find_non_value(value.data(), end) != end) refuse(400, "control byte in a field value");
  // RFC 9113 8.2.1.
  if (!value.empty() && (is_blank(value.front()) || is_blank(value.back()))) {
    refuse(400, "blank at an end of a field value");
  }
}

void H2Head::add(std::string_view name, std::string_view value, const H2HeadLimits& limits) {
  decoded_bytes_ += name.size() + value.size() + kFieldOverhead;
  if (decoded_bytes_ > limits.head_bytes || name.size() > UINT16_MAX) {
    refuse(431, "head too large");
  }
  if (refusal_) return;
  check_value(value);
  if (name.starts_with(':')) {
    add_pseudo(name, value);
    return;
  }
  const NameLook look = look_at_name(name);
  if (!look.good) {
    refuse(400, "bad field name");
    return;
  }
  const HeaderId id = look.odd ? identify_aliased_header(name) : identify_plain_header(name);
  if (is_connection_specific(id)) refuse(400, "connection-specific field");
  // RFC 9113 8.2.2.
  if (id == HeaderId::Te && !equal_ignore_case(value, "trailers")) {
    refuse(400, "TE other than trailers");
  }
  if (refusal_) return;
  Piece piece = append_line(name, value);
  piece.id = id;
  piece.is_cookie = id == HeaderId::Other && name == "cookie";
  cookies_ += piece.is_cookie ? 1 : 0;
  pieces_.push_back(piece);
}

void H2Head::add_pseudo(std::string_view name, std::string_view value) {
  constexpr std::array<std::string_view, kPseudos> kNames = {":method", ":scheme", ":authority",
                                                             ":path", ":status"};
  if (!pieces_.empty()) refuse(400, "pseudo field behind a regular one");
  for (std::size_t i = 0; i < kPseudos; ++i) {
    if (name != kNames[i]) continue;
    if (pseudo_[i].end != 0) refuse(400, "repeated pseudo field");
    if (value.empty()) refuse(400, "empty pseudo field");
    if (!refusal_) pseudo_[i] = append_line({}, value);
    return;
  }
  refuse(400, "unknown pseudo field");
}

bool H2Head::is_grpc() const {
  const std::string_view lines = lines_;
  return std::ranges::any_of(pieces_, [lines](const Piece& piece) {
    return lines.substr(piece.begin, piece.name_size) == "content-type" &&
           is_grpc_type(lines.substr(piece.value, piece.end - piece.value));
  });
}

std::string_view H2Head::pseudo(Pseudo which) const {
  const Piece& piece = pseudo_[which];
  return std::string_view(lines_).substr(piece.value, piece.end - piece.value);
}

void H2Head::join_cookies() {
  if (cookies_ < 2) return;
  std::string joined;
  joined.reserve(lines_.size());
  for (const Piece& piece : pieces_) {
    if (!piece.is_cookie) continue;
    if (!joined.empty()) joined.append("; ");
    joined.append(lines_, piece.value, piece.end - piece.value);
  }
  const Piece cookie = append_line("cookie", joined);
  bool placed = false;
  std::size_t kept = 0;
  for (const Piece piece : pieces_) {  // a copy: its place is written to
    if (piece.is_cookie && placed) continue;
    pieces_[kept++] = piece.is_cookie ? cookie : piece;
    placed = placed || piece.is_cookie;
  }
  pieces_.resize(kept);
  cookies_ = 1;
}

Refusal H2Head::read_fields(HeaderList& headers, FieldFacts& facts) const {
  headers.clear();
  const std::string_view lines = lines_;
  for (const Piece& piece : pieces_) {
    const Header header{lines.substr(piece.begin, piece.name_size),
                        lines.substr(piece.value, piece.end - piece.value), piece.id};
    if (!headers.add(header)) return {431, "too many fields"};
    if (header.id == HeaderId::Other) continue;
    if (const Refusal refusal = note_field(header, facts)) return refusal;
  }
  return {};
}

Refusal H2Head::read_target(const H2HeadLimits& limits, const FieldFacts& facts,
                            RequestHead& head) const {
  const std::string_view scheme = pseudo(Scheme);
  if (!equal_ignore_case(scheme, "http") && !equal_ignore_case(scheme, "https")) {
    return {400, "scheme neither http nor https"};
  }
  head.target = pseudo(Path);
  if (!is_target(head.target)) return {400, "bad request target"};
  if (head.target.size() > limits.target_bytes) return {414, "request target too long"};
  if (head.target == "*" && head.method != "OPTIONS") {
    return {400, "request target * without OPTIONS"};
  }
  split_target(head);
  if (facts.hosts > 1) return {400, "two Host fields"};
  if (facts.hosts == 0 && !has(Authority)) return {400, "no authority"};
  head.authority = has(Authority) ? pseudo(Authority) : facts.host;
  if (facts.hosts == 1 && !equal_ignore_case(head.authority, facts.host)) {
    return {400, "authority differs from Host"};
  }
  const auto authority = parse_authority(head.authority);
  if (!authority) return {400, "bad authority"};
  head.authority = authority->text;
  head.host = authority->host;
  return {};
}

Refusal H2Head::read_request(const H2HeadLimits& limits, bool ends, RequestHead& head) {
  if (refusal_) return refusal_;
  if (has(Status)) return {400, "status in a request"};
  join_cookies();  // may move the lines: before any view of them
  head.method = pseudo(Method);
  if (!is_token(head.method)) return {400, "bad method"};
  if (head.method.size() > kMaxMethod) return {400, "method too long"};
  if (head.method == "CONNECT") return {400, "CONNECT"};
  FieldFacts facts;
  if (const Refusal refusal = read_fields(head.headers, facts)) return refusal;
  BodyLength body;
  if (const Refusal refusal = read_body_length(facts, 1, body)) return refusal;
  if (const Refusal refusal = read_target(limits, facts, head)) return refusal;
  if (facts.expect_other) return {417, "unknown expectation"};
  if (ends && body.length > 0) return {400, "Content-Length without a body"};
  if (body.framing == Framing::None && !ends) body.framing = Framing::Chunked;
  head.framing = body.framing;
  head.content_length = body.length;
  head.major_version = 2;
  head.minor_version = 0;
  head.keep_alive = true;
  head.expect_continue = facts.expect_continue;
  head.takes_trailers = facts.te_trailers;
  head.upgrade = {};
  return {};
}

Refusal H2Head::read_response(bool to_head_request, bool ends, ResponseHead& head) {
  if (refusal_) return refusal_;
  if (has(Method) || has(Scheme) || has(Authority) || has(Path)) {
    return {400, "request's pseudo field in a response"};
  }
  head.status = parse_status(pseudo(Status));
  if (head.status == 0) return {400, "bad status"};
  if (head.status == 101) return {400, "101 in HTTP/2"};  // RFC 9113 8.6
  head.reason = reason_phrase(head.status);
  FieldFacts facts;
  if (const Refusal refusal = read_fields(head.headers, facts)) return refusal;
  BodyLength body;
  if (const Refusal refusal = read_body_length(facts, 1, body)) return refusal;
  if (head.status < 200 || head.status == 204 || head.status == 304 || to_head_request) {
    if (head.status < 200 && ends) return {400, "stream ends with an interim response"};
    body = {};
  } else if (ends) {
    if (body.length > 0) return {400, "Content-Length without a body"};
    body.framing = Framing::Length;
  } else if (body.framing == Framing::None) {
    body.framing = Framing::Chunked;
  }
  head.framing = body.framing;
  head.content_length = body.length;
  head.minor_version = 1;
  head.keep_alive = true;
  return {};
}

Refusal H2Head::read_trailers(HeaderList& trailers) {
  if (refusal_) return refusal_;
  for (const Piece& piece : pseudo_) {
    if (piece.end != 0) return {400, "pseudo field in trailers"};
  }
  trailers.clear();
  const std::string_view lines = lines_;
  for (const Piece& piece : pieces_) {
    if (!passes_as_trailer(piece.id)) continue;
    const Header header{lines.substr(piece.begin, piece.name_size),
                        lines.substr(piece.value, piece.end - piece.value), piece.id};
    if (!trailers.add(header)) return {431, "too many fields"};
  }
  return {};
}

}  // namespace handfast::http
