#pragma once
// Writing YAML and JSON by hand, faster and more predictable than an emitter: block maps of
// `key: value`, texts always in double quotes (valid in both languages), nothing folded.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handfast::config {

// `text` in double quotes. Bytes that are not UTF-8 become U+FFFD itself, not its escape, so that
// what is read back is written again the same.
void append_quoted(std::string& out, std::string_view text);

// Lines of one block map at one indentation.
class Lines {
 public:
  Lines(std::string& out, int indent) : out_(out), indent_(static_cast<std::size_t>(indent)) {}

  // The next line begins with "- ": the first field of a map that is a list's element.
  void begin_element() { element_ = true; }

  void text(std::string_view key, std::string_view value);
  void flag(std::string_view key, bool value);
  void number(std::string_view key, std::int64_t value);
  void number(std::string_view key, std::uint64_t value);
  void texts(std::string_view key, const std::vector<std::string>& values);  // ["a", "b"]
  void open(std::string_view key);        // "key:", its map or list follows further in
  void empty_list(std::string_view key);  // "key: []"
  void empty_map(std::string_view key);   // "key: {}"
  void quoted_key(std::string_view key, std::string_view value);

 private:
  void start(std::string_view key);

  std::string& out_;
  std::size_t indent_;
  bool element_ = false;
};

// {"a":1,"b":"c"}: members in the order of the calls; closed by the destructor.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_.push_back('{'); }
  JsonObject(const JsonObject&) = delete;
  JsonObject& operator=(const JsonObject&) = delete;
  ~JsonObject() { out_.push_back('}'); }

  // For a value that the caller appends.
  std::string& key(std::string_view name) {
    if (!first_) out_.push_back(',');
    first_ = false;
    append_quoted(out_, name);
    out_.push_back(':');
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_quoted(key(name), value); }
  void flag(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
  void number(std::string_view name, std::int64_t value) { key(name) += std::to_string(value); }
  void number(std::string_view name, std::uint64_t value) { key(name) += std::to_string(value); }

 private:
  std::string& out_;
  bool first_ = true;
};

// [1,2]: `append(out, element)` writes one.
template <class List, class Append>
void append_list(std::string& out, const List& list, Append append) {
  out.push_back('[');
  bool first = true;
  for (const auto& element : list) {
    if (!first) out.push_back(',');
    first = false;
    append(out, element);
  }
  out.push_back(']');
}

}  // namespace handfast::config
