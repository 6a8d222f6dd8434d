#include "proxy/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <optional>
#include <streambuf>

#include "proxy/config/own_text.h"

namespace handfast::config {
namespace {

std::string at_line(int line, std::string_view what) {
  return "line " + std::to_string(line) + ": " + std::string(what);
}

// Reads straight from the caller's bytes; std::istringstream would copy them.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    // The get area is only read; streambuf's interface predates const.
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

// A cheap look at the raw text: enough of YAML's lexis to count open brackets and indentation.
// It bounds what the library recurses into; the exact depth is counted again while building.
class DepthScan {
 public:
  [[nodiscard]] Status run(std::string_view text) {
    for (const char c : text) {
      if (const Status good = step(c); !good) return good;
      previous_ = c;
    }
    return {};
  }

 private:
  enum class In : unsigned char { Plain, DoubleQuoted, SingleQuoted, Comment };

  [[nodiscard]] Status step(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7f) {
      return fail(Reason::BadYaml, at_line(line_, "a control character in the text"));
    }
    if (c == '\n') ++line_;
    switch (in_) {
      case In::DoubleQuoted:
        if (escaped_) {
          escaped_ = false;
        } else if (c == '\\') {
          escaped_ = true;
        } else if (c == '"') {
          in_ = In::Plain;
          token_start_ = false;
        }
        return {};
      case In::SingleQuoted:
        if (c == '\'') {
          in_ = In::Plain;
          token_start_ = false;
        }
        return {};
      case In::Comment:
        if (c == '\n') start_line();
        return {};
      case In::Plain:
        return plain(c);
    }
    return {};
  }

  [[nodiscard]] Status plain(char c) {
    if (c == '\n') {
      start_line();
      return {};
    }
    const bool blank = c == ' ' || c == '\t' || c == '\r';
    if (indenting_) {
      if (blank || c == '-' || c == '?' || c == ':') {
        // Each level of block nesting takes at least one column of this prefix.
        if (++column_ > 4 * kMaxDocumentDepth) return too_deep();
      } else {
        indenting_ = false;
      }
    }
    if (c == '#' && (previous_ == '\n' || previous_ == ' ' || previous_ == '\t')) {
      in_ = In::Comment;
    } else if (c == '"' && token_start_) {
      in_ = In::DoubleQuoted;
    } else if (c == '\'' && token_start_) {
      in_ = In::SingleQuoted;
    } else if (c == '[' || c == '{') {
      if (++brackets_ > kMaxDocumentDepth) return too_deep();
    } else if ((c == ']' || c == '}') && brackets_ > 0) {
      --brackets_;
    }
    if (!blank) {
      token_start_ = c == '[' || c == '{' || c == ',' || c == ':' || c == '-' || c == '?';
    }
    return {};
  }

  [[nodiscard]] Status too_deep() const {
    return fail(Reason::BadYaml, at_line(line_, "nested too deeply"));
  }

  void start_line() {
    in_ = In::Plain;
    indenting_ = true;
    token_start_ = true;
    column_ = 0;
  }

  In in_ = In::Plain;
  bool escaped_ = false;
  bool indenting_ = true;
  bool token_start_ = true;
  char previous_ = '\n';
  int column_ = 0;
  int brackets_ = 0;
  int line_ = 1;
};

// Builds the tree from the library's events. After the first problem it ignores what follows: the
// library offers no way to stop but an exception.
class TreeBuilder final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (refuse_anchor(mark, anchor)) return;
    Node node;
    node.line = mark.line + 1;
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    refuse(mark, "aliases are not used in this format");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // The library's tags for "no tag": "?" plain, "!" quoted or block.
    if (refuse_anchor(mark, anchor) || refuse_tag(mark, tag)) return;
    Node node;
    node.kind = Node::Kind::Scalar;
    node.quoted = tag == "!";
    node.line = mark.line + 1;
    node.scalar = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Node::Kind::List);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Node::Kind::Map);
  }
  void OnMapEnd() override { close(); }

  [[nodiscard]] Result<Node> take() {
    if (problem_) return fail(Reason::BadYaml, *problem_);
    return std::move(root_);
  }

 private:
  struct Open {
    Node node;
    std::optional<std::string> key;  // of a map: read, its value not yet
  };

  void refuse(const YAML::Mark& mark, std::string_view what) {
    if (!problem_) problem_ = at_line(mark.line + 1, what);
  }

  bool refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) refuse(mark, "anchors are not used in this format");
    return problem_.has_value();
  }

  bool refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags are not used in this format");
    return problem_.has_value();
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    if (refuse_anchor(mark, anchor) || refuse_tag(mark, tag)) return;
    if (stack_.size() >= static_cast<std::size_t>(kMaxDocumentDepth)) {
      refuse(mark, "nested too deeply");
      return;
    }
    Open frame;
    frame.node.kind = kind;
    frame.node.line = mark.line + 1;
    stack_.push_back(std::move(frame));
  }

  void close() {
    if (problem_ || stack_.empty()) return;
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    if (node.kind == Node::Kind::Map && refuse_duplicates(node)) return;
    add(std::move(node));
  }

  void add(Node node) {
    if (++nodes_ > kMaxDocumentNodes) {
      if (!problem_) problem_ = at_line(node.line, "too many values");
      return;
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Node::Kind::List) {
      parent.node.list.push_back(std::move(node));
    } else if (parent.key) {
      parent.node.map.emplace_back(std::move(*parent.key), std::move(node));
      parent.key.reset();
    } else if (node.kind == Node::Kind::Scalar) {
      parent.key = std::move(node.scalar);
    } else {
      problem_ = at_line(node.line, "a key that is not a word");
    }
  }

  bool refuse_duplicates(const Node& map) {
    std::vector<std::string_view> keys;
    keys.reserve(map.map.size());
    for (const auto& [key, value] : map.map) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) return false;
    problem_ = at_line(map.line, "\"" + std::string(*twice) + "\" stands twice in one map");
    return true;
  }

  std::vector<Open> stack_;
  Node root_;
  std::size_t nodes_ = 0;
  std::optional<std::string> problem_;
};

}  // namespace

Result<Node> parse_document(std::string_view text) {
  if (auto own = try_read_own(text)) return *std::move(own);
  return parse_yaml(text);
}

Result<Node> parse_yaml(std::string_view text) {
  if (text.size() > kMaxDocumentBytes) {
    return fail(Reason::BadYaml, "larger than " + std::to_string(kMaxDocumentBytes) + " bytes");
  }
  if (Status depth = DepthScan{}.run(text); !depth) return fail(std::move(depth.error()));

  try {
    ViewBuffer buffer{text};
    std::istream in{&buffer};
    YAML::Parser parser{in};
    TreeBuilder tree;
    if (!parser.HandleNextDocument(tree)) return fail(Reason::BadYaml, "holds no document");
    TreeBuilder rest;
    if (parser.HandleNextDocument(rest)) {
      return fail(Reason::BadYaml, "holds more than one document");
    }
    return tree.take();
  } catch (const YAML::Exception& e) {
    const int line = e.mark.is_null() ? 0 : e.mark.line + 1;
    return fail(Reason::BadYaml, at_line(line, e.msg));
  } catch (const std::exception& e) {
    return fail(Reason::BadYaml, std::string("can't be read: ") + e.what());
  }
}

std::string_view yaml_library() { return "yaml-cpp " HANDFAST_YAML_CPP_VERSION; }

}  // namespace handfast::config
