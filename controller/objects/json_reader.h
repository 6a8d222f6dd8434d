#pragma once
// A strict JSON reader (RFC 8259), since yaml-cpp reads JSON only nearly: it refuses escaped
// surrogate pairs, which kubectl and most libraries write, and holds a document on one line in
// memory as tokens. Bounded as value.h says. Pure; thread-safe.

#include <string>
#include <string_view>

#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::objects {

// Reads the values of a text one after the other. The text must be UTF-8 and outlive the reader.
class JsonReader final {
 public:
  enum class Keep : unsigned char {
    Everything,
    // All but metadata.managedFields, which is half of what the API server sends and nobody's
    // business here. Of it, only where it ends is looked at.
    WithoutManagedFields,
  };

  // `first_line`: the number of the text's first line. `max_nodes`: of one value, at most
  // kMaxNodes.
  JsonReader(std::string_view text, int first_line, Keep keep = Keep::Everything,
             std::size_t max_nodes = kMaxNodes)
      : text_(text), line_(first_line), keep_(keep), max_nodes_(max_nodes) {}

  // Whether another value follows; skips blanks.
  [[nodiscard]] bool has_more();

  // The next value. The error's detail begins with "LINE:COLUMN: "; there is no reading on after
  // one.
  [[nodiscard]] Result<Value> next();

  [[nodiscard]] int line() const { return line_; }

 private:
  bool read_value(Value& value, std::size_t depth);
  bool read_list(Value& value, std::size_t depth);
  bool read_map(Value& value, std::size_t depth, std::string_view name);
  bool read_member(Value& value, std::size_t depth, std::string_view name);
  bool pass_value();
  bool read_string(std::string& out);
  bool read_escape(std::string& out);
  bool read_hex4(unsigned& unit);
  bool read_word(Value& value);
  bool take(char c);
  void skip_blanks();
  bool refuse(std::string_view why);

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_begin_ = 0;
  int line_;
  Keep keep_;
  std::size_t max_nodes_;
  std::size_t nodes_ = 0;
  std::string problem_;
};

}  // namespace handfast::objects
