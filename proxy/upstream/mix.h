#pragma once
// Numbers that look random: to spread keys, to draw lots, to jitter times. Not for secrets.
//
// What is made of the same bytes is the same in every worker, process and version: consistent
// hashing depends on it.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace handfast::upstream {

// Each bit of the result depends on each bit of `value` (the finalizer of splitmix64).
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// FNV-1a over bytes that come in pieces, finished by mix().
class ByteHash {
 public:
  constexpr void add(char byte) {
    value_ = (value_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  constexpr void add(std::string_view bytes) {
    for (const char byte : bytes) add(byte);
  }
  [[nodiscard]] constexpr std::uint64_t finish() const { return mix(value_); }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

// `random` as a number in [0, 1).
[[nodiscard]] constexpr double fraction(std::uint64_t random) {
  return static_cast<double>(random >> 11) * 0x1.0p-53;
}

// A sequence (splitmix64). One thread's.
class Lots {
 public:
  explicit constexpr Lots(std::uint64_t seed) : state_(seed) {}
  constexpr std::uint64_t draw() { return mix(state_ += 0x9e3779b97f4a7c15); }
  // In [0, limit). The bias of the low 32 bits is of no matter here.
  constexpr std::size_t below(std::size_t limit) {
    return static_cast<std::size_t>(((draw() >> 32) * std::uint64_t{limit}) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace handfast::upstream
