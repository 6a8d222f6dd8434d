#pragma once
// One YAML document by yaml-cpp, internal to controller/source: the adapter that knows the library,
// catches its exceptions and holds it to the limits of yaml_reader.h.
//
// The tree is built from parser events, not from YAML::Node: that shows duplicate keys, quotes and
// aliases, and lets a document be given up in the middle.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/value.h"

namespace handfast::source {

// What aliases may still repeat in this text.
struct AliasBudget {
  std::size_t nodes = 0;
  std::size_t bytes = 0;
};

struct YamlPiece {
  // Null kind: the piece holds no document, or an empty one.
  objects::Value root;
  // Why it can't be read; line 0: it can.
  int problem_line = 0;
  int problem_column = 0;
  std::string problem;
};

// `text`: UTF-8 without control characters, at most one document; `first_line` is the number of its
// first line.
[[nodiscard]] YamlPiece read_yaml_piece(std::string_view text, int first_line, AliasBudget& budget);

}  // namespace handfast::source
