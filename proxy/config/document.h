#pragma once
// A YAML (or JSON) document as a tree, read from text that may be hostile: the one place in proxy/
// that calls yaml-cpp.
//
// Bounded before the library sees a byte: size, depth of nesting, control characters (yaml-cpp
// takes U+0004 for the end of the text); then, while it reads, the number of nodes. Anchors,
// aliases, tags, duplicate keys, keys that aren't scalars and a second document are errors: nothing
// here needs them.
//
// Pure; thread-safe. Errors: Reason::BadYaml, "line 7: …".

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::config {

inline constexpr std::size_t kMaxDocumentBytes = 8u << 20;
inline constexpr int kMaxDocumentDepth = 32;
// A Node is about 130 bytes; a standalone file of 10,000 hosts has 700,000.
inline constexpr std::size_t kMaxDocumentNodes = 1'000'000;

struct Node {
  enum class Kind : unsigned char { Null, Scalar, List, Map };

  Kind kind = Kind::Null;
  bool quoted = false;  // "8080" in quotes is not a number
  int line = 0;         // 1-based
  std::string scalar;
  std::vector<Node> list;
  std::vector<std::pair<std::string, Node>> map;  // in the order of the text
  friend bool operator==(const Node&, const Node&) = default;
};

[[nodiscard]] Result<Node> parse_document(std::string_view text);
// The same without own_text.h, which is only faster.
[[nodiscard]] Result<Node> parse_yaml(std::string_view text);

// "yaml-cpp 0.7.0": what this build was made with; the library itself doesn't tell.
[[nodiscard]] std::string_view yaml_library();

}  // namespace handfast::config
