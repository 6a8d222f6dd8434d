#pragma once
// An optional for what is seldom there: without a value it is as large as a pointer. Ten thousand
// routes have room for an auth server, and none of them asks one.
//
// A plain value: copied and compared whole. Errors: none; what stands behind * and -> must be
// there.

#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace handfast {

template <class T>
class Rare {
 public:
  Rare() = default;
  Rare(std::nullopt_t) {}
  Rare(T value) : held_(std::make_unique<T>(std::move(value))) {}
  Rare(std::optional<T> value) {
    if (value) held_ = std::make_unique<T>(*std::move(value));
  }
  Rare(const Rare& other) : held_(other ? std::make_unique<T>(*other) : nullptr) {}
  Rare(Rare&&) noexcept = default;
  Rare& operator=(const Rare& other) {
    if (this != &other) held_ = other ? std::make_unique<T>(*other) : nullptr;
    return *this;
  }
  Rare& operator=(Rare&&) noexcept = default;
  ~Rare() = default;

  [[nodiscard]] bool has_value() const { return held_ != nullptr; }
  explicit operator bool() const { return has_value(); }
  T& operator*() & { return *held_; }
  const T& operator*() const& { return *held_; }
  T&& operator*() && { return std::move(*held_); }
  T* operator->() { return held_.get(); }
  const T* operator->() const { return held_.get(); }
  template <class... Arguments>
  T& emplace(Arguments&&... arguments) {
    held_ = std::make_unique<T>(std::forward<Arguments>(arguments)...);
    return *held_;
  }
  void reset() { held_.reset(); }

  friend bool operator==(const Rare& left, const Rare& right) {
    if (!left || !right) return left.has_value() == right.has_value();
    return *left == *right;
  }

 private:
  std::unique_ptr<T> held_;
};

// A text that is mostly empty: then it is as large as a pointer.
class RareText {
 public:
  RareText() = default;
  RareText(std::string text) {
    if (!text.empty()) held_ = std::move(text);
  }
  RareText(std::string_view text) : RareText(std::string(text)) {}
  RareText(const char* text) : RareText(std::string(text)) {}

  [[nodiscard]] bool empty() const { return !held_; }
  [[nodiscard]] const std::string& text() const {
    static const std::string kEmpty;
    return held_ ? *held_ : kEmpty;
  }
  operator const std::string&() const { return text(); }
  operator std::string_view() const { return text(); }
  void clear() { held_.reset(); }

  friend bool operator==(const RareText& left, const RareText& right) {
    return left.text() == right.text();
  }
  friend std::strong_ordering operator<=>(const RareText& left, const RareText& right) {
    return left.text() <=> right.text();
  }

 private:
  Rare<std::string> held_;
};

}  // namespace handfast
