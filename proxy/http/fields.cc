#include "proxy/http/fields.h"

#include <bit>
#include <cstring>
#include <limits>

#include "proxy/http/chars.h"
#include "proxy/http/header_id.h"

namespace handfast::http {
namespace {

constexpr std::uint64_t kOnes = 0x0101010101010101U;
constexpr std::uint64_t kHighs = 0x8080808080808080U;

// The high bit of each of eight bytes that is below 0x20 or 0x7f; of bytes in front of a true one
// (less significant) exact, behind it perhaps too many: the classic zero-byte test.
std::uint64_t control_bytes(std::uint64_t word) {
  const std::uint64_t below_blank = (word - kOnes * 0x20U) & ~word;
  const std::uint64_t delete_zeroed = word ^ (kOnes * 0x7fU);
  const std::uint64_t is_delete = (delete_zeroed - kOnes) & ~delete_zeroed;
  return (below_blank | is_delete) & kHighs;
}

// Eight bytes, the first one least significant.
std::uint64_t load_word(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

Refusal read_connection_options(std::string_view value, FieldFacts& facts) {
  while (const auto option = take_list_element(value)) {
    if (++facts.connection_options > kMaxConnectionOptions) {
      return {400, "too many Connection options"};
    }
    if (option->empty()) continue;
    if (!is_token(*option)) return {400, "bad Connection option"};
    facts.close = facts.close || equal_ignore_case(*option, "close");
    facts.keep_alive = facts.keep_alive || equal_ignore_case(*option, "keep-alive");
    facts.upgrade_option = facts.upgrade_option || equal_ignore_case(*option, "upgrade");
  }
  return {};
}

// RFC 9110 10.1.4: codings with weights, or "trailers".
bool names_trailers(std::string_view value) {
  while (const auto element = take_list_element(value)) {
    if (equal_ignore_case(*element, "trailers")) return true;
  }
  return false;
}

// Plain decimal and below 2^63: callers and backends that count in signed numbers stay right.
std::optional<std::uint64_t> parse_content_length(std::string_view text) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.empty() || text.size() > 19) return std::nullopt;  // 19 digits fit 64 bits
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value <= kMax ? std::optional(value) : std::nullopt;
}

Refusal name_refusal(const Cursor& in, const char* name) {
  if (is_blank(*name)) return {400, "folded line or blank before a field"};
  if (in.at == name && *in.at == ':') return {400, "empty field name"};
  if (is_blank(*in.at)) return {400, "blank in or after a field name"};
  return {400, "bad field name"};
}

Refusal value_refusal(const Cursor& in) {
  if (in.at == in.end) return {400, "head cut short"};
  if (*in.at == '\r') return {400, "bare CR"};
  if (*in.at == '\n') return {400, "bare LF"};
  return {400, "control byte in a field value"};
}

}  // namespace

Refusal note_field(const Header& field, FieldFacts& facts) {
  switch (field.id) {
    case HeaderId::Connection:
      return read_connection_options(field.value, facts);
    case HeaderId::ContentLength:
      facts.content_length = field.value;
      ++facts.content_lengths;
      return {};
    case HeaderId::TransferEncoding:
      facts.transfer_encoding = field.value;
      ++facts.transfer_encodings;
      return {};
    case HeaderId::Host:
      facts.host = field.value;
      ++facts.hosts;
      return {};
    case HeaderId::Expect:
      if (equal_ignore_case(field.value, "100-continue")) {
        facts.expect_continue = true;
      } else {
        facts.expect_other = true;
      }
      return {};
    case HeaderId::Upgrade:
      facts.upgrade = field.value;
      ++facts.upgrades;
      return {};
    case HeaderId::Te:
      facts.te_trailers = facts.te_trailers || names_trailers(field.value);
      return {};
    case HeaderId::Other:
    case HeaderId::Date:
    case HeaderId::KeepAlive:
    case HeaderId::ProxyAuthenticate:
    case HeaderId::ProxyAuthorization:
    case HeaderId::ProxyConnection:
    case HeaderId::Server:
    case HeaderId::Trailer:
    case HeaderId::UserAgent:
    case HeaderId::Referer:
    case HeaderId::Protected:
      return {};
  }
  return {};
}

const char* find_non_value(const char* at, const char* end) {
  while (end - at >= 8) {
    const std::uint64_t found = control_bytes(load_word(at));
    if (found == 0) {
      at += 8;
      continue;
    }
    at += std::countr_zero(found) / 8;
    if (*at != '\t') return at;
    ++at;
  }
  while (at != end && has_class(*at, kValueChar)) ++at;
  return at;
}

bool skip_crlf(Cursor& in) {
  if (in.left() < 2 || in.at[0] != '\r' || in.at[1] != '\n') return false;
  in.at += 2;
  return true;
}

Refusal read_field(Cursor& in, Header& field) {
  const char* const name = in.at;
  unsigned seen = 0;
  for (; in.at != in.end; ++in.at) {
    const unsigned classes = classes_of(*in.at);
    if ((classes & kTokenChar) == 0) break;
    seen |= classes;
  }
  if (in.at == in.end) return {400, "head cut short"};
  if (*in.at != ':' || in.at == name) return name_refusal(in, name);
  field.name = {name, static_cast<std::size_t>(in.at - name)};
  ++in.at;
  while (in.at != in.end && is_blank(*in.at)) ++in.at;
  const char* const value = in.at;
  in.at = find_non_value(in.at, in.end);
  const char* value_end = in.at;
  if (!skip_crlf(in)) return value_refusal(in);
  while (value_end != value && is_blank(value_end[-1])) --value_end;
  field.value = {value, static_cast<std::size_t>(value_end - value)};
  const bool odd = (seen & kOddNameChar) != 0;
  field.id = odd ? identify_aliased_header(field.name) : identify_plain_header(field.name);
  return {};
}

Refusal read_fields(Cursor& in, HeaderList& fields, FieldFacts& facts) {
  fields.clear();
  while (in.at != in.end && *in.at != '\r') {
    Header field;
    if (const Refusal refusal = read_field(in, field)) return refusal;
    if (!fields.add(field)) return {431, "too many fields"};
    if (field.id == HeaderId::Other) continue;
    if (const Refusal refusal = note_field(field, facts)) return refusal;
  }
  if (!skip_crlf(in)) return {400, "bare CR"};
  return {};
}

Refusal read_body_length(const FieldFacts& facts, int minor_version, BodyLength& out) {
  if (facts.content_lengths > 1) return {400, "two Content-Length fields"};
  if (facts.transfer_encodings > 1) return {400, "two Transfer-Encoding fields"};
  if (facts.transfer_encodings == 1) {
    // RFC 9112 6.3: both together is an attack or a bug.
    if (facts.content_lengths == 1) return {400, "Content-Length with Transfer-Encoding"};
    if (minor_version == 0) return {400, "Transfer-Encoding in HTTP/1.0"};
    if (!equal_ignore_case(facts.transfer_encoding, "chunked")) {
      return {501, "transfer coding other than chunked"};
    }
    out.framing = Framing::Chunked;
    return {};
  }
  if (facts.content_lengths == 1) {
    const auto length = parse_content_length(facts.content_length);
    if (!length) return {400, "bad Content-Length"};
    out = {Framing::Length, *length};
  }
  return {};
}

void split_target(RequestHead& head) {
  const std::size_t mark = head.target.find('?');
  head.path = head.target.substr(0, mark);
  head.query = mark == std::string_view::npos ? std::string_view() : head.target.substr(mark + 1);
}

std::optional<std::string_view> take_list_element(std::string_view& list) {
  if (list.data() == nullptr) return std::nullopt;
  const std::size_t comma = list.find(',');
  const std::string_view element = trim_blanks(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return element;
}

}  // namespace handfast::http
