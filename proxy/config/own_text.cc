#include "proxy/config/own_text.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace handfast::config {
namespace {

constexpr std::size_t kStep = 2;
// Less than a document may have, so that no limit of it can be passed: a value takes four bytes at
// least.
constexpr std::size_t kMostBytes = 3 * kMaxDocumentNodes;
static_assert(kMostBytes < kMaxDocumentBytes);
constexpr std::size_t kMostIndent = kStep * (kMaxDocumentDepth / 2);
// With each of them escaped, and quotes around: the library takes 1,024 for a key.
constexpr std::size_t kMostKeyBytes = 500;

bool is_plain_text(char c) { return c >= 0x20 && c < 0x7f; }
bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::optional<Node> run() {
    Node root;
    if (!read_map(0, root) || !rest_.empty()) return std::nullopt;
    return root;
  }

 private:
  // How far in the next line begins.
  [[nodiscard]] std::size_t indent() const {
    const std::size_t first = rest_.find_first_not_of(' ');
    return first == std::string_view::npos ? rest_.size() : first;
  }

  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  bool take_line_end() {
    if (!take("\n")) return false;
    ++line_;
    return true;
  }

  Node node_of(Node::Kind kind) const {
    Node node;
    node.kind = kind;
    node.line = line_;
    return node;
  }

  // Its first line's indentation may have been taken already.
  bool read_map(std::size_t column, Node& map, bool is_at_first_key = false) {
    map = node_of(Node::Kind::Map);
    if (column > kMostIndent) return false;
    do {
      if (!is_at_first_key) rest_.remove_prefix(column);
      is_at_first_key = false;
      auto& [key, value] = map.map.emplace_back();
      if (!read_key(key) || !read_value(column, value)) return false;
    } while (!rest_.empty() && indent() == column && !rest_.substr(column).starts_with("- "));
    return has_single_keys(map);
  }

  bool read_list(std::size_t column, Node& list) {
    list = node_of(Node::Kind::List);
    do {
      rest_.remove_prefix(column);
      if (!take("- ")) return false;
      if (!read_map(column + kStep, list.list.emplace_back(), true)) return false;
    } while (!rest_.empty() && indent() == column && rest_.substr(column).starts_with("- "));
    return true;
  }

  bool read_key(std::string& key) {
    if (rest_.starts_with('"')) {
      if (!read_quoted(key)) return false;
    } else {
      const std::size_t end = std::min(rest_.find(':'), rest_.size());
      const std::string_view word = rest_.substr(0, end);
      if (word.empty() || !std::ranges::all_of(word, is_key_character) || word == "null" ||
          word.front() < 'a') {
        return false;
      }
      key = word;
      rest_.remove_prefix(end);
    }
    return key.size() <= kMostKeyBytes && take(":");
  }

  bool read_value(std::size_t column, Node& value) {
    if (take_line_end()) {
      if (indent() != column + kStep) return false;
      return rest_.substr(column + kStep).starts_with("- ") ? read_list(column + kStep, value)
                                                            : read_map(column + kStep, value);
    }
    return take(" ") && read_inline(value) && take_line_end();
  }

  bool read_inline(Node& value) {
    if (rest_.starts_with('"')) {
      value = node_of(Node::Kind::Scalar);
      value.quoted = true;
      return read_quoted(value.scalar);
    }
    if (take("{}")) {
      value = node_of(Node::Kind::Map);
      return true;
    }
    if (take("[")) return read_texts(value);
    value = node_of(Node::Kind::Scalar);
    const std::size_t end = std::min(rest_.find('\n'), rest_.size());
    const std::string_view word = rest_.substr(0, end);
    const std::string_view digits = word.starts_with('-') ? word.substr(1) : word;
    const bool is_number =
        !digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number && word != "true" && word != "false") return false;
    value.scalar = word;
    rest_.remove_prefix(end);
    return true;
  }

  bool read_texts(Node& value) {
    value = node_of(Node::Kind::List);
    if (take("]")) return true;
    do {
      Node& text = value.list.emplace_back(node_of(Node::Kind::Scalar));
      text.quoted = true;
      if (!rest_.starts_with('"') || !read_quoted(text.scalar)) return false;
    } while (take(", "));
    return take("]");
  }

  // Precondition: a double quote comes.
  bool read_quoted(std::string& out) {
    std::size_t at = 1;
    for (; at < rest_.size() && rest_[at] != '"'; ++at) {
      char c = rest_[at];
      if (c == '\\') {
        // Other escapes are rare enough.
        if (++at == rest_.size() || (rest_[at] != '\\' && rest_[at] != '"')) return false;
        c = rest_[at];
      }
      if (!is_plain_text(c)) return false;
      out.push_back(c);
    }
    if (at >= rest_.size()) return false;
    rest_.remove_prefix(at + 1);
    return true;
  }

  static bool has_single_keys(const Node& map) {
    const auto not_after = [](const auto& left, const auto& right) {
      return left.first >= right.first;
    };
    if (std::ranges::adjacent_find(map.map, not_after) == map.map.end()) return true;
    std::vector<std::string_view> keys;
    keys.reserve(map.map.size());
    for (const auto& [key, value] : map.map) keys.push_back(key);
    std::ranges::sort(keys);
    return std::ranges::adjacent_find(keys) == keys.end();
  }

  std::string_view rest_;
  int line_ = 1;
};

}  // namespace

std::optional<Node> try_read_own(std::string_view text) {
  if (text.empty() || text.size() > kMostBytes || text.back() != '\n') return std::nullopt;
  return Reader{text}.run();
}

}  // namespace handfast::config
