#pragma once
// Reading typed fields out of a document, internal to controller/objects.
//
// A Place is a value together with the way to it, so that an error can name the field; the way is
// kept as pointers to the Places before it and becomes text only when something is wrong. Fields
// reads from Places and keeps the first thing that was wrong; readers go on with an empty value
// after that, so a decoder asks good() once, at its end.
//
// A field that is null is a field that is absent, as for the API server.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/text_map.h"
#include "controller/objects/value.h"
#include "proxy/base/result.h"

namespace handfast::objects {

// Borrows the document and the Places on the way to it, which all must outlive it: hence no
// member() of a temporary.
class Place {
 public:
  explicit Place(const Value& root) : value_(&root) {}

  [[nodiscard]] Place member(std::string_view name) const&;
  [[nodiscard]] Place item(std::size_t index) const&;
  Place member(std::string_view name) const&& = delete;
  Place item(std::size_t index) const&& = delete;

  [[nodiscard]] bool absent() const { return value_ == nullptr || value_->is_null(); }
  // Null pointer: not there at all.
  [[nodiscard]] const Value* value() const { return value_; }

  // "spec.rules[0].http.paths[1].pathType", "metadata.annotations[handfast.dev/x]".
  [[nodiscard]] std::string path() const;
  // Its own line, or that of the nearest value around it.
  [[nodiscard]] int line() const;

 private:
  static constexpr std::size_t kNoIndex = static_cast<std::size_t>(-1);

  Place(const Value* value, const Place* around, std::string_view name, std::size_t index)
      : value_(value), around_(around), name_(name), index_(index) {}

  const Value* value_;
  const Place* around_ = nullptr;
  std::string_view name_;         // of a member
  std::size_t index_ = kNoIndex;  // of an item
};

// What an unquoted scalar is for Kubernetes: sigs.k8s.io/yaml reads by YAML 1.1's rules, so `on` is
// a boolean and `1e3` a number there, and the API server refuses either where it wants a string.
enum class ScalarType : std::uint8_t { String, Boolean, Number, Null };
[[nodiscard]] ScalarType scalar_type(const Value& scalar);

// What `value` is when a string was wanted: "is a boolean for Kubernetes (on), not a string: quote
// it"; nothing if it is a string. Never more than the beginning of the value.
[[nodiscard]] std::optional<std::string> why_not_text(const Value& value);

class Fields {
 public:
  // `is_written`: by people, and no API server has taken it.
  explicit Fields(bool is_written = false) : is_written_(is_written) {}

  struct Failure {
    std::string field;
    int line = 0;
    Error error;
  };

  // Only the first one counts.
  void refuse(const Place& place, std::string message, Reason reason = Reason::BadObject);

  [[nodiscard]] bool good() const { return !failure_.has_value(); }
  // Precondition: !good().
  [[nodiscard]] const Failure& failure() const { return *failure_; }
  // What another one found counts here too, if nothing was found before.
  void absorb(const Fields& other);

  // Absent: empty.
  [[nodiscard]] std::string text(const Place& place);
  // Absent or empty: refused.
  [[nodiscard]] std::string required_text(const Place& place);
  [[nodiscard]] bool boolean(const Place& place, bool if_absent);
  // A port number from 1 to 65535, written as a decimal number without quotes. Absent: 0.
  [[nodiscard]] std::uint16_t port(const Place& place);
  // A whole number without quotes, `least` to `most`.
  [[nodiscard]] std::uint32_t number(const Place& place, std::uint32_t least, std::uint32_t most,
                                     std::uint32_t if_absent);
  // The place in `words` of what stands there; absent: `if_absent`.
  [[nodiscard]] std::size_t word(const Place& place, std::initializer_list<std::string_view> words,
                                 std::size_t if_absent);
  // A map with no other members than these; absent is fine.
  bool only(const Place& place, std::initializer_list<std::string_view> members);
  // The same of what people wrote: what is spelt wrong must not pass for what isn't there, and
  // kubectl refuses it too. An API server may know more members.
  void only_written(const Place& place, std::initializer_list<std::string_view> members);
  // Whether it is a map; absent is no map and no failure, anything else is refused.
  bool is_map(const Place& place);
  // How many items; absent: 0.
  [[nodiscard]] std::size_t items(const Place& place);
  // A map of strings; null values are refused too.
  [[nodiscard]] TextMap texts(const Place& place);

 private:
  bool is_written_;
  std::optional<Failure> failure_;
};

}  // namespace handfast::objects
