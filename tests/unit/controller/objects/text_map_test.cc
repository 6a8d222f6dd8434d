#include "controller/objects/text_map.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace handfast::objects {
namespace {

std::string six_digits(int number) {
  const std::string text = std::to_string(number);
  return std::string(6 - text.size(), '0') + text;
}

TEST(TextMap, IsInTheOrderOfItsNamesHoweverTheyCame) {
  const TextMap some(std::vector<TextMap::value_type>{{"c", "1"}, {"a", "2"}, {"b", "3"}});

  EXPECT_EQ(some, (TextMap{{"a", "2"}, {"b", "3"}, {"c", "1"}}));
  EXPECT_EQ(some.begin()->first, "a");
  EXPECT_EQ(some.find("c")->second, "1");
}

TEST(TextMap, OfTwoTextsUnderOneNameKeepsTheFirst) {
  EXPECT_EQ(TextMap(std::vector<TextMap::value_type>{{"b", "1"}, {"a", "2"}, {"b", "3"}}),
            (TextMap{{"a", "2"}, {"b", "1"}}));
}

// As many as a review may hold: one that stands before all that came before it must not move each
// of them, because others wait for their reviews meanwhile.
TEST(TextMap, TakesHundredsOfThousandsThatComeBackwards) {
  constexpr int kMany = 250'000;
  std::vector<TextMap::value_type> backwards;
  for (int n = kMany; n > 0; --n) backwards.emplace_back(six_digits(n), "");

  const TextMap all(std::move(backwards));

  EXPECT_EQ(all.size(), static_cast<std::size_t>(kMany));
  EXPECT_EQ(all.begin()->first, six_digits(1));
}

}  // namespace
}  // namespace handfast::objects
