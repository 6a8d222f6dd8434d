#include "proxy/base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace handfast {
namespace {

std::string escaped(std::string_view text) {
  // Both as large as they must be, so that the sanitizer sees a byte too far.
  const auto from = std::make_unique<char[]>(std::max<std::size_t>(text.size(), 1));
  text.copy(from.get(), text.size());
  const auto to = std::make_unique<char[]>(json_escaped_room(text.size()));
  return {to.get(), write_json_escaped(to.get(), {from.get(), text.size()})};
}

TEST(JsonEscape, WritesEachKindOfByteAtEachPlaceOfAWord) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"\"", "\\\""},
      {"\\", "\\\\"},
      {std::string_view("\0", 1), "\\u0000"},
      {"\n", "\\u000a"},
      {"\x1f", "\\u001f"},
      {" ", " "},
      {"~", "~"},
      {"\x7f", "\\u007f"},
      {"\x80", "\\ufffd"},
      {"\xff", "\\ufffd"},
      {"\xc3\xa9", "\xc3\xa9"},
      {"\xe2\x82\xac", "\xe2\x82\xac"},
      {"\xf0\x9f\x94\x92", "\xf0\x9f\x94\x92"},
      {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
      {"\xe2\x82", "\\ufffd\\ufffd"},
      {"!#$[]^", "!#$[]^"},
  };
  for (const auto& [text, expected] : cases) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t after = 0; after < 20; ++after) {
        const std::string front(before, 'a');
        const std::string back(after, 'b');

        EXPECT_EQ(escaped(front + std::string(text) + back), front + std::string(expected) + back);
      }
    }
  }
}

TEST(JsonEscape, WritesEachPairOfNeighboursAsIfEachWereAlone) {
  for (int first = 0; first < 0x80; ++first) {
    for (int second = 0; second < 0x100; ++second) {
      const char pair[2] = {static_cast<char>(first), static_cast<char>(second)};

      EXPECT_EQ(escaped({pair, 2}), escaped({pair, 1}) + escaped({pair + 1, 1}))
          << first << ' ' << second;
    }
  }
}

TEST(JsonEscape, AppendsWithoutTouchingWhatIsThere) {
  std::string text = "before ";
  append_json_escaped(text, "a\"b");
  append_json_escaped(text, "");

  EXPECT_EQ(text, "before a\\\"b");
}

}  // namespace
}  // namespace handfast
