#pragma once
// Typed access to the fields of a document's maps, with errors that name line and field.
//
// The first error wins and is kept in the Problem; later reads give harmless defaults, so that a
// parse function reads straight down and looks at the Problem once, at its end. done() is what
// makes an unknown field an error: call it after the last read of each map.
//
// Ownership: borrows the Node and the Problem. One thread's.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/document.h"

namespace handfast::config {

inline constexpr std::string_view kMissing = "is missing";

class Problem {
 public:
  void set(int line, std::string_view path, std::string_view what);
  [[nodiscard]] bool is_set() const { return error_.has_value(); }
  [[nodiscard]] const Error& error() const { return *error_; }  // Precondition: is_set().

 private:
  std::optional<Error> error_;
};

// "routes[2]".
[[nodiscard]] std::string element_path(std::string_view list, std::size_t index);

// The text of a scalar; anything else is a problem.
[[nodiscard]] std::string scalar_text(const Node& node, std::string_view path, Problem& problem);

class Fields {
 public:
  // `path` is how errors call the map: "routes[2]"; empty for the document itself.
  Fields(const Node& node, std::string path, Problem& problem);

  // Required ones.
  std::string text(std::string_view name);
  std::uint64_t number(std::string_view name, std::uint64_t least, std::uint64_t most);
  std::int64_t signed_number(std::string_view name);  // times: X.509 knows those before 1970

  // Those with a default.
  std::string text_or(std::string_view name, std::string otherwise);
  std::optional<std::string> optional_text(std::string_view name);
  bool flag_or(std::string_view name, bool otherwise);
  std::uint64_t number_or(std::string_view name, std::uint64_t least, std::uint64_t most,
                          std::uint64_t otherwise);
  std::uint32_t number32_or(std::string_view name, std::uint32_t least, std::uint32_t otherwise);
  std::vector<std::string> texts(std::string_view name);

  // The map `name` as `read(Fields&)` makes it, if it is there; what `read` doesn't ask for is an
  // error.
  template <class Read>
  auto map(std::string_view name, Read read)
      -> std::optional<std::invoke_result_t<Read&, Fields&>> {
    const Node* node = find_map(name);
    if (node == nullptr) return std::nullopt;
    return read_whole(*node, path_of(name), read);
  }

  // The maps of the list `name`, likewise; none if it isn't there.
  template <class Read>
  auto maps(std::string_view name, Read read) -> std::vector<std::invoke_result_t<Read&, Fields&>> {
    std::vector<std::invoke_result_t<Read&, Fields&>> values;
    const Node* list = find_list(name);
    if (list == nullptr) return values;
    values.reserve(list->list.size());
    for (std::size_t i = 0; i < list->list.size(); ++i) {
      values.push_back(read_whole(list->list[i], element_path(path_of(name), i), read));
    }
    return values;
  }

  // The same of a list that must be there.
  template <class Read>
  auto required_maps(std::string_view name, Read read) {
    if (find_list(name) == nullptr) problem(name, kMissing);
    return maps(name, read);
  }

  // The map `name`, which must be there and whose names are data: `read(key, text)` answers what is
  // wrong with an entry, nothing if it is good.
  template <class Read>
  void required_entries(std::string_view name, Read read) {
    const Node* map = find_map(name);
    if (map == nullptr) return problem(name, kMissing);
    for (const auto& [key, value] : map->map) {
      const std::string path = path_of(name) + "[" + key + "]";
      const std::string_view what = read(key, scalar_text(value, path, problem_));
      if (!what.empty()) problem_.set(value.line, path, what);
    }
  }

  // The value of `name` if it is there; null pointer if not. For maps and lists.
  const Node* find(std::string_view name);
  const Node* find_map(std::string_view name);
  const Node* find_list(std::string_view name);

  // Every field that nobody asked for is an error.
  void done();

  [[nodiscard]] std::string path_of(std::string_view name) const;
  void problem(std::string_view name, std::string_view what);
  void problem_of_all(std::string_view what);

 private:
  template <class Read>
  auto read_whole(const Node& node, std::string path, Read& read) {
    Fields inner{node, std::move(path), problem_};
    auto value = read(inner);
    inner.done();
    return value;
  }

  const Node& node_;
  std::string path_;
  Problem& problem_;
  std::vector<bool> seen_;
};

// A whole document as `read(Fields&)` makes it; what `read` doesn't ask for is an error.
template <class Read>
auto read_document(std::string_view text, Read read)
    -> Result<std::invoke_result_t<Read&, Fields&>> {
  const Result<Node> document = parse_document(text);
  if (!document) return fail(document.error());
  Problem problem;
  Fields fields{*document, "", problem};
  auto value = read(fields);
  fields.done();
  if (problem.is_set()) return fail(problem.error());
  return value;
}

}  // namespace handfast::config
