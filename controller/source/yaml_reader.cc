#include "controller/source/yaml_reader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "controller/objects/json_reader.h"
#include "controller/source/yaml_piece.h"

namespace handfast::source {
namespace {

using objects::Value;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Whether `line` is a marker: three equal characters at its very beginning and a blank behind. No
// scalar of YAML can hold such a line (YAML 1.2, 9.1.4), which is why cutting there is safe.
bool is_marker(std::string_view line, std::string_view marker) {
  return line.starts_with(marker) &&
         (line.size() == marker.size() || is_blank(line[marker.size()]));
}

// Whether a line stands before a document: a directive, a comment or nothing.
bool is_preamble(std::string_view line) {
  const auto first = std::ranges::find_if_not(line, is_blank);
  return first == line.end() || *first == '#' || line.starts_with('%');
}

struct Piece {
  std::string_view text;
  int first_line = 1;
};

// Cuts a text into its documents.
class Cutter {
 public:
  explicit Cutter(std::string_view text) : rest_(text) {}

  std::optional<Piece> next() {
    const std::string_view begin = rest_;
    const int first_line = line_;
    std::size_t size = 0;
    bool has_content = false;
    while (!rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size() - 1) + 1;
      const std::string_view line = rest_.substr(0, end);
      if (is_marker(line, "---") && has_content) break;
      const bool is_last = is_marker(line, "...");
      has_content = has_content || is_marker(line, "---") || !is_preamble(line);
      rest_.remove_prefix(end);
      ++line_;
      size += end;
      if (is_last) break;
    }
    if (size == 0) return std::nullopt;
    return Piece{begin.substr(0, size), first_line};
  }

 private:
  std::string_view rest_;
  int line_ = 1;
};

struct Position {
  int line;
  std::size_t column;
};

Position position(const Piece& piece, std::size_t offset) {
  const std::string_view before = piece.text.substr(0, offset);
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  return {piece.first_line + static_cast<int>(std::ranges::count(before, '\n')),
          offset - line_begin + 1};
}

// How many bytes the UTF-8 character at the beginning of `text` has; 0: it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t n) {
    return n < text.size() ? static_cast<unsigned char>(text[n]) : 0U;
  };
  const auto continues = [&](std::size_t n) { return (byte(n) & 0xc0U) == 0x80U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    // Neither overlong nor half of a surrogate pair.
    const bool is_good = (first != 0xe0 || byte(1) >= 0xa0) && (first != 0xed || byte(1) < 0xa0);
    return is_good && continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const bool is_good = (first != 0xf0 || byte(1) >= 0x90) && (first != 0xf4 || byte(1) < 0x90);
    return is_good && continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// The offset of the first byte that no manifest holds, and why.
std::optional<std::pair<std::size_t, const char*>> find_bad_byte(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte >= 0x20 && byte < 0x80) {  // nearly all of them
      ++at;
      continue;
    }
    if (byte < 0x20 && !is_blank(text[at])) return {{at, "holds a control character"}};
    const std::size_t length = utf8_length(text.substr(at, 4));
    if (length == 0) return {{at, "is not UTF-8"}};
    at += length;
  }
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(const DocumentSink& sink) : sink_(sink) {}

  void read(const Piece& piece) {
    if (const auto bad = find_bad_byte(piece.text)) {
      const Position where = position(piece, bad->first);
      return refuse(where.line, where.column, bad->second);
    }
    if (read_json(piece)) return;
    YamlPiece yaml = read_yaml_piece(piece.text, piece.first_line, budget_);
    if (!yaml.problem.empty()) {
      return refuse(yaml.problem_line, static_cast<std::size_t>(yaml.problem_column), yaml.problem);
    }
    give(std::move(yaml.root));
  }

 private:
  // Whether it was JSON. If the first value isn't, YAML has its turn: `{a: b}` is YAML only.
  bool read_json(Piece piece) {
    if (is_marker(piece.text, "---")) piece.text.remove_prefix(3);
    objects::JsonReader json(piece.text, piece.first_line);
    const std::size_t first = piece.text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos || piece.text[first] != '{') return false;
    for (bool is_first = true; json.has_more(); is_first = false) {
      auto value = json.next();
      if (!value && is_first) return false;
      const int line = value ? value->line : json.line();
      const bool is_good = value.has_value();
      sink_(std::move(value), line);
      if (!is_good) break;
    }
    return true;
  }

  void give(Value value) {
    if (value.is_null()) return;
    const int line = value.line;
    sink_(std::move(value), line);
  }

  void refuse(int line, std::size_t column, const std::string& why) {
    sink_(fail(Reason::BadYaml, std::to_string(line) + ":" + std::to_string(column) + ": " + why),
          line);
  }

  const DocumentSink& sink_;
  AliasBudget budget_{kMaxAliasNodes, kMaxAliasBytes};
};

}  // namespace

void read_documents(std::string_view text, const DocumentSink& sink) {
  static constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  Cutter cutter(text);
  Reader reader(sink);
  while (const auto piece = cutter.next()) reader.read(*piece);
}

}  // namespace handfast::source
