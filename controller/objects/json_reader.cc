#include "controller/objects/json_reader.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_set>
#include <utility>

namespace handfast::objects {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// RFC 8259 section 6: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?
bool is_number(std::string_view text) {
  std::size_t at = 0;
  const auto next_is = [&](char c) { return at < text.size() && text[at] == c; };
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at > begin;
  };
  if (next_is('-')) ++at;
  if (next_is('0')) {
    ++at;
  } else if (!digits()) {
    return false;
  }
  if (next_is('.')) {
    ++at;
    if (!digits()) return false;
  }
  if (next_is('e') || next_is('E')) {
    ++at;
    if (next_is('+') || next_is('-')) ++at;
    if (!digits()) return false;
  }
  return at == text.size();
}

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) {
    out += static_cast<char>(static_cast<unsigned char>(byte));
  };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

// Where a string goes on with something else than plain characters. Four times as fast as
// find_first_of(): most of what an API server sends is this.
std::size_t end_of_stretch(std::string_view text, std::size_t at) {
  static constexpr auto kStops = [] {
    std::array<bool, 256> stops{};
    for (const unsigned char c : {'"', '\\', '\n'}) stops[c] = true;
    return stops;
  }();
  while (at < text.size() && !kStops[static_cast<unsigned char>(text[at])]) ++at;
  return at;
}

}  // namespace

bool JsonReader::has_more() {
  skip_blanks();
  return at_ < text_.size();
}

Result<Value> JsonReader::next() {
  skip_blanks();
  nodes_ = 0;
  Value value;
  if (!read_value(value, 1)) return fail(Reason::BadYaml, problem_);
  return value;
}

void JsonReader::skip_blanks() {
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '\n') {
      ++line_;
      line_begin_ = at_ + 1;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      return;
    }
  }
}

bool JsonReader::refuse(std::string_view why) {
  problem_ = std::to_string(line_) + ":" + std::to_string(at_ - line_begin_ + 1) + ": ";
  problem_ += why;
  return false;
}

bool JsonReader::take(char c) {
  skip_blanks();
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

bool JsonReader::read_value(Value& value, std::size_t depth) {
  skip_blanks();
  if (depth > kMaxDepth) return refuse("is nested too deeply");
  if (++nodes_ > max_nodes_) return refuse("holds too many values");
  value.line = line_;
  if (at_ >= text_.size()) return refuse("ends too early");
  switch (text_[at_]) {
    case '{':
      return read_map(value, depth, {});
    case '[':
      return read_list(value, depth);
    case '"':
      value.kind = Value::Kind::Scalar;
      value.quoted = true;
      return read_string(value.scalar);
    default:
      return read_word(value);
  }
}

bool JsonReader::read_list(Value& value, std::size_t depth) {
  value.kind = Value::Kind::List;
  ++at_;
  if (take(']')) return true;
  do {
    if (!read_value(value.list.emplace_back(), depth + 1)) return false;
  } while (take(','));
  return take(']') || refuse("expected ',' or ']'");
}

// `name`: of the member that the map is.
bool JsonReader::read_map(Value& value, std::size_t depth, std::string_view name) {
  value.kind = Value::Kind::Map;
  ++at_;
  if (take('}')) return true;
  // Most maps are small: looking along them is cheaper than to keep a set.
  constexpr std::size_t kSmall = 16;
  std::unordered_set<std::string> keys;
  const auto is_known = [&](const std::string& key) {
    if (value.map.size() < kSmall) return value.find(key) != nullptr;
    if (keys.empty()) {
      for (const auto& [known, unused] : value.map) keys.insert(known);
    }
    return !keys.insert(key).second;
  };
  do {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != '"') return refuse("expected a key in double quotes");
    std::string key;
    if (!read_string(key)) return false;
    if (is_known(key)) return refuse("the key is there twice");
    if (!take(':')) return refuse("expected ':'");
    if (keep_ == Keep::WithoutManagedFields && name == "metadata" && key == "managedFields") {
      if (!pass_value()) return false;
      continue;
    }
    auto& [member, inner] = value.map.emplace_back(std::move(key), Value{});
    if (!read_member(inner, depth + 1, member)) return false;
  } while (take(','));
  return take('}') || refuse("expected ',' or '}'");
}

bool JsonReader::read_member(Value& value, std::size_t depth, std::string_view name) {
  skip_blanks();
  if (at_ >= text_.size() || text_[at_] != '{') return read_value(value, depth);
  if (depth > kMaxDepth) return refuse("is nested too deeply");
  if (++nodes_ > max_nodes_) return refuse("holds too many values");
  value.line = line_;
  return read_map(value, depth, name);
}

bool JsonReader::pass_value() {
  std::string ignored;
  std::size_t open = 0;
  do {
    skip_blanks();
    if (at_ >= text_.size()) return refuse("ends too early");
    const char c = text_[at_];
    if (c == '"') {
      ignored.clear();
      if (!read_string(ignored)) return false;
    } else if (c == '{' || c == '[') {
      ++open;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (open == 0) return refuse("expected a value");
      --open;
      ++at_;
    } else if (open == 0 && (c == ',' || c == ':')) {
      return refuse("expected a value");
    } else {
      at_ = std::min(text_.find_first_of(" \t\r\n,}]{[\"", at_ + 1), text_.size());
    }
  } while (open > 0);
  return true;
}

bool JsonReader::read_word(Value& value) {
  const std::size_t end = std::min(text_.find_first_of(" \t\r\n,:]}[{\"", at_), text_.size());
  const std::string_view word = text_.substr(at_, end - at_);
  if (word == "null") {
    value.kind = Value::Kind::Null;
  } else if (word == "true" || word == "false" || is_number(word)) {
    value.kind = Value::Kind::Scalar;
    value.scalar = word;
  } else {
    return refuse("expected a value");
  }
  at_ = end;
  return true;
}

bool JsonReader::read_string(std::string& out) {
  ++at_;
  while (at_ < text_.size()) {
    // Whole stretches at once: keys and certificates are long.
    const std::size_t end = end_of_stretch(text_, at_);
    if (end == text_.size()) break;
    out += text_.substr(at_, end - at_);
    at_ = end;
    if (text_[at_] == '\n') return refuse("a string doesn't end on its line");
    ++at_;
    if (text_[end] == '"') return true;
    if (!read_escape(out)) return false;
  }
  at_ = text_.size();
  return refuse("a string doesn't end");
}

bool JsonReader::read_escape(std::string& out) {
  static constexpr std::string_view kLetters = "\"\\/bfnrt";
  static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (at_ >= text_.size()) return refuse("a string doesn't end");
  const char letter = text_[at_];
  if (const std::size_t n = kLetters.find(letter); n != std::string_view::npos) {
    out += kMeanings[n];
    ++at_;
    return true;
  }
  unsigned code = 0;
  if (letter != 'u') return refuse("unknown escape");
  ++at_;
  if (!read_hex4(code)) return false;
  if (code >= 0xd800 && code < 0xdc00) {
    unsigned low = 0;
    if (text_.substr(at_, 2) != "\\u") return refuse("half of a surrogate pair");
    at_ += 2;
    if (!read_hex4(low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return refuse("half of a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  } else if (code >= 0xdc00 && code < 0xe000) {
    return refuse("half of a surrogate pair");
  }
  append_utf8(out, code);
  return true;
}

bool JsonReader::read_hex4(unsigned& unit) {
  unit = 0;
  for (int n = 0; n < 4; ++n, ++at_) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (is_digit(c)) {
      unit = unit * 16 + static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      unit = unit * 16 + static_cast<unsigned>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      unit = unit * 16 + static_cast<unsigned>(c - 'A' + 10);
    } else {
      return refuse("\\u needs four hexadecimal digits");
    }
  }
  return true;
}

}  // namespace handfast::objects
