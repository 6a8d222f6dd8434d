#include "proxy/base/sorted_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace handfast {
namespace {

using ::testing::ElementsAre;

TEST(SortedSet, HoldsEachOnceInOrder) {
  SortedSet<std::string> names;
  for (const char* const name : {"b", "c", "a", "b"}) names.insert(name);

  EXPECT_THAT(std::vector(names.begin(), names.end()), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(names.contains("b"));
  EXPECT_FALSE(names.contains("bb"));

  names.erase("b");
  names.erase("bb");

  EXPECT_THAT(std::vector(names.begin(), names.end()), ElementsAre("a", "c"));
  names.clear();
  EXPECT_TRUE(names.empty());
}

TEST(SortedSet, TakesAnOrderOfItsOwn) {
  SortedSet<int, std::greater<>> numbers;
  for (const int number : {1, 3, 2}) numbers.insert(number);

  EXPECT_THAT(std::vector(numbers.begin(), numbers.end()), ElementsAre(3, 2, 1));
  numbers.erase(2);
  EXPECT_EQ(numbers.size(), 2U);
}

}  // namespace
}  // namespace handfast
