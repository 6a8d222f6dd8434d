#include "proxy/base/string_hash.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace handfast {
namespace {

std::size_t hash_of(const std::string& text) {
  // As large as it must be, so that the sanitizer sees a byte too far.
  const auto bytes = std::make_unique<char[]>(text.size());
  text.copy(bytes.get(), text.size());
  return StringHash{}({bytes.get(), text.size()});
}

TEST(StringHash, DependsOnEachByteOfEachLength) {
  for (std::size_t size = 1; size < 40; ++size) {
    const std::string text(size, 'a');
    std::set<std::size_t> seen{hash_of(text), hash_of(text + 'a')};
    for (std::size_t i = 0; i < size; ++i) {
      std::string other = text;
      other[i] = 'b';
      seen.insert(hash_of(other));
    }

    EXPECT_EQ(seen.size(), size + 2) << size;
  }
}

// Tables take the low bits, buckets of the snapshot the high ones.
TEST(StringHash, SpreadsNamesThatDifferInANumberOverLowAndHighBits) {
  constexpr int kNames = 25'600;
  std::vector<int> low(256);
  std::vector<int> high(256);
  for (int i = 0; i < kNames; ++i) {
    const std::size_t hash = hash_of("shop/web-" + std::to_string(i));
    ++low[hash & 255];
    ++high[hash >> 40 & 255];
  }

  // A hundred each on average; 60 is 4 standard deviations away.
  for (int i = 0; i < 256; ++i) {
    EXPECT_GT(low[static_cast<std::size_t>(i)], 55);
    EXPECT_GT(high[static_cast<std::size_t>(i)], 55);
  }
}

}  // namespace
}  // namespace handfast
