#include "proxy/config/fields.h"

#include <charconv>
#include <limits>

namespace handfast::config {
void Problem::set(int line, std::string_view path, std::string_view what) {
  if (error_) return;
  std::string detail = "line " + std::to_string(line) + ": ";
  if (!path.empty()) detail.append(path).append(": ");
  error_ = Error{Reason::BadObject, detail.append(what)};
}

Fields::Fields(const Node& node, std::string path, Problem& problem)
    : node_(node), path_(std::move(path)), problem_(problem), seen_(node.map.size()) {
  if (node.kind != Node::Kind::Map) problem_.set(node.line, path_, "must be a map of fields");
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

void Fields::problem(std::string_view name, std::string_view what) {
  int line = node_.line;
  for (const auto& [key, value] : node_.map) {
    if (key == name) line = value.line;
  }
  problem_.set(line, path_of(name), what);
}

void Fields::problem_of_all(std::string_view what) { problem_.set(node_.line, path_, what); }

const Node* Fields::find(std::string_view name) {
  for (std::size_t i = 0; i < node_.map.size(); ++i) {
    if (node_.map[i].first == name) {
      seen_[i] = true;
      return &node_.map[i].second;
    }
  }
  return nullptr;
}

const Node* Fields::find_map(std::string_view name) {
  const Node* found = find(name);
  if (found == nullptr || found->kind == Node::Kind::Map) return found;
  problem(name, "must be a map of fields");
  return nullptr;
}

const Node* Fields::find_list(std::string_view name) {
  const Node* found = find(name);
  if (found == nullptr || found->kind == Node::Kind::List) return found;
  problem(name, "must be a list");
  return nullptr;
}

std::optional<std::string> Fields::optional_text(std::string_view name) {
  const Node* found = find(name);
  if (found == nullptr) return std::nullopt;
  return scalar_text(*found, path_of(name), problem_);
}

std::string Fields::text(std::string_view name) {
  std::optional<std::string> value = optional_text(name);
  if (!value) problem(name, kMissing);
  return std::move(value).value_or(std::string());
}

std::string Fields::text_or(std::string_view name, std::string otherwise) {
  return optional_text(name).value_or(std::move(otherwise));
}

bool Fields::flag_or(std::string_view name, bool otherwise) {
  const Node* found = find(name);
  if (found == nullptr) return otherwise;
  if (found->kind == Node::Kind::Scalar && !found->quoted) {
    if (found->scalar == "true") return true;
    if (found->scalar == "false") return false;
  }
  problem(name, "must be true or false");
  return otherwise;
}

std::uint64_t Fields::number_or(std::string_view name, std::uint64_t least, std::uint64_t most,
                                std::uint64_t otherwise) {
  const Node* found = find(name);
  if (found == nullptr) return otherwise;
  if (found->kind == Node::Kind::Scalar && !found->quoted) {
    std::uint64_t value = 0;
    const char* end = found->scalar.data() + found->scalar.size();
    const auto [stop, error] = std::from_chars(found->scalar.data(), end, value);
    if (error == std::errc{} && stop == end && value >= least && value <= most) return value;
  }
  problem(name,
          "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return otherwise;
}

std::uint32_t Fields::number32_or(std::string_view name, std::uint32_t least,
                                  std::uint32_t otherwise) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(number_or(name, least, kMost, otherwise));
}

std::uint64_t Fields::number(std::string_view name, std::uint64_t least, std::uint64_t most) {
  if (find(name) == nullptr) problem(name, kMissing);
  return number_or(name, least, most, least);
}

std::int64_t Fields::signed_number(std::string_view name) {
  const Node* found = find(name);
  if (found == nullptr) {
    problem(name, kMissing);
    return 0;
  }
  if (found->kind == Node::Kind::Scalar && !found->quoted) {
    std::int64_t value = 0;
    const char* end = found->scalar.data() + found->scalar.size();
    const auto [stop, error] = std::from_chars(found->scalar.data(), end, value);
    if (error == std::errc{} && stop == end) return value;
  }
  problem(name, "must be a whole number of 64 bits");
  return 0;
}

std::vector<std::string> Fields::texts(std::string_view name) {
  std::vector<std::string> values;
  const Node* list = find_list(name);
  if (list == nullptr) return values;
  values.reserve(list->list.size());
  const std::string path = path_of(name);
  for (std::size_t i = 0; i < list->list.size(); ++i) {
    values.push_back(scalar_text(list->list[i], element_path(path, i), problem_));
  }
  return values;
}

void Fields::done() {
  for (std::size_t i = 0; i < node_.map.size(); ++i) {
    if (!seen_[i]) {
      const auto& [key, value] = node_.map[i];
      problem_.set(value.line, path_of(key), "is not a field of this format");
      return;
    }
  }
}

std::string element_path(std::string_view list, std::size_t index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}

std::string scalar_text(const Node& node, std::string_view path, Problem& problem) {
  if (node.kind != Node::Kind::Scalar) {
    problem.set(node.line, path, "must be a text");
    return {};
  }
  if (node.scalar.find('\0') != std::string::npos) {
    problem.set(node.line, path, "must not hold a NUL byte");
    return {};
  }
  return node.scalar;
}

}  // namespace handfast::config
