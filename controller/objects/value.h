#pragma once
// A document as both sources deliver it, YAML from files and JSON from the API server: a tree of
// scalars, lists and maps that remembers where it stood, so that errors can name file and line.

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handfast::objects {

// What a reader of documents refuses: trees are walked by recursion, and a tree costs 20 times its
// text.
inline constexpr std::size_t kMaxDepth = 64;
inline constexpr std::size_t kMaxNodes = 2'000'000;

class Value {
 public:
  enum class Kind : unsigned char { Null, Scalar, List, Map };

  // Not in the class: a pair with a Value can't be made or destroyed before Value is complete.
  Value();
  Value(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(const Value&);
  Value& operator=(Value&&) noexcept;
  ~Value();

  Kind kind = Kind::Null;
  std::string scalar;   // text of the scalar; numbers and booleans as written
  bool quoted = false;  // written as a string: "8080" is not a number then
  std::vector<Value> list;
  std::vector<std::pair<std::string, Value>> map;  // in order; no duplicate keys
  int line = 0;                                    // 1-based; 0: unknown

  [[nodiscard]] bool is_null() const { return kind == Kind::Null; }
  // The member of a map, or null pointer. Borrowed.
  [[nodiscard]] const Value* find(std::string_view key) const;
};

}  // namespace handfast::objects
