#pragma once
// What a command found out, as a tree that is told twice: indented text for people, JSON for
// programs. One tree, so that both tell the same.
//
// Maps keep the order in which they were filled. Texts come from objects and from peers: whatever
// could move a terminal's cursor is replaced when they are written.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace handfast {

class Facts {
 public:
  using Map = std::vector<std::pair<std::string, Facts>>;
  using List = std::vector<Facts>;

  Facts() : value_(Map{}) {}
  Facts(std::string text) : value_(std::move(text)) {}
  Facts(std::string_view text) : value_(std::string(text)) {}
  Facts(const char* text) : value_(std::string(text)) {}
  Facts(bool flag) : value_(flag) {}
  Facts(std::int64_t number) : value_(number) {}
  Facts(List list) : value_(std::move(list)) {}
  Facts(const std::vector<std::string>& texts) : value_(List(texts.begin(), texts.end())) {}

  // Of a map: adds a field.
  Facts& add(std::string key, Facts value);
  // Adds a text unless it is empty.
  Facts& add_if_any(std::string key, std::string_view text);

  // "key: value" lines, two blanks further in for what lies within; '_' of keys are blanks.
  [[nodiscard]] std::string to_text() const;
  // One document, without a line feed at its end.
  [[nodiscard]] std::string to_json() const;

 private:
  [[nodiscard]] bool is_scalar() const;
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] std::string scalar_text() const;
  void write_text(std::string& out, std::size_t indent, bool continues) const;
  void write_json(std::string& out) const;

  std::variant<std::string, bool, std::int64_t, List, Map> value_;
};

// A line is a line, whatever an annotation or a peer's certificate held.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace handfast
