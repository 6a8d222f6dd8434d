#pragma once
// A hash for tables in memory whose keys are texts; a table that has it can be asked with a view.
//
// Most requests ask half a dozen tables by names of some ten bytes: the standard library's hash is
// a call and four times dearer there. Whoever fills a table chooses its keys, so only for those
// that configuration fills; what peers send may only be looked up. The values differ between builds
// and machines: nothing outside of the process may depend on them (consistent hashing:
// upstream/mix.h).

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace handfast {

struct StringHash {
  using is_transparent = void;

  std::size_t operator()(std::string_view text) const noexcept {
    const char* at = text.data();
    std::size_t left = text.size();
    std::uint64_t hash = left * kMultiplier;
    for (; left > 8; left -= 8, at += 8) hash = stir(hash, load<std::uint64_t>(at));
    // One to eight bytes, in two words that may overlap.
    if (left >= 4) {
      const std::uint64_t front = load<std::uint32_t>(at);
      hash = stir(hash, front << 32 | load<std::uint32_t>(at + left - 4));
    } else if (left > 0) {
      const auto byte = [at](std::size_t i) { return std::uint64_t{load<std::uint8_t>(at + i)}; };
      hash = stir(hash, byte(0) << 16 | byte(left / 2) << 8 | byte(left - 1));
    }
    return static_cast<std::size_t>(stir(hash, hash >> 32));
  }

 private:
  static constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;

  template <class Word>
  static Word load(const char* at) noexcept {
    Word word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  static std::uint64_t stir(std::uint64_t hash, std::uint64_t word) noexcept {
    hash = (hash ^ word) * kMultiplier;
    return hash ^ hash >> 29;
  }
};

}  // namespace handfast
