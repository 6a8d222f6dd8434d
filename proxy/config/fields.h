#pragma once
// Typed access to the fields of a document's maps, with errors that name line and field.
//
// The first error wins and is kept in the Problem; later reads give harmless defaults, so that a
// parse function reads straight down and looks at the Problem once, at its end. done() is what
// makes an unknown field an error: call it after the last read of each map.
//
// Ownership: borrows the Node and the Problem. One thread's.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/document.h"

namespace handfast::config {

class Problem {
 public:
  void set(int line, std::string_view path, std::string_view what);
  [[nodiscard]] bool is_set() const { return error_.has_value(); }
  [[nodiscard]] const Error& error() const { return *error_; }  // Precondition: is_set().

 private:
  std::optional<Error> error_;
};

class Fields {
 public:
  // `path` is how errors call the map: "routes[2]"; empty for the document itself.
  Fields(const Node& node, std::string path, Problem& problem);

  // Required ones.
  std::string text(std::string_view name);
  std::uint64_t number(std::string_view name, std::uint64_t least, std::uint64_t most);

  // Those with a default.
  std::string text_or(std::string_view name, std::string otherwise);
  std::optional<std::string> optional_text(std::string_view name);
  bool flag_or(std::string_view name, bool otherwise);
  std::uint64_t number_or(std::string_view name, std::uint64_t least, std::uint64_t most,
                          std::uint64_t otherwise);
  std::uint32_t number32_or(std::string_view name, std::uint32_t least, std::uint32_t otherwise);
  std::vector<std::string> texts(std::string_view name);

  // The value of `name` if it is there; null pointer if not. For maps and lists.
  const Node* find(std::string_view name);
  const Node* find_map(std::string_view name);
  const Node* find_list(std::string_view name);

  // Every field that nobody asked for is an error.
  void done();

  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] int line() const { return node_.line; }
  void problem(std::string_view name, std::string_view what);

 private:
  const Node& node_;
  std::string path_;
  Problem& problem_;
  std::vector<bool> seen_;
};

// "routes[2]".
[[nodiscard]] std::string element_path(std::string_view list, std::size_t index);

// The text of a scalar; anything else is a problem.
[[nodiscard]] std::string scalar_text(const Node& node, std::string_view path, Problem& problem);

}  // namespace handfast::config
