#include "proxy/base/rare.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast {
namespace {

TEST(Rare, IsAsLargeAsAPointer) { EXPECT_EQ(sizeof(Rare<std::string>), sizeof(void*)); }

TEST(Rare, HasAValueOfItsOwn) {
  Rare<std::string> first = std::string("a");
  Rare<std::string> second = first;

  *second += "b";

  EXPECT_EQ(*first, "a");
  EXPECT_EQ(second->size(), 2U);
}

TEST(Rare, IsComparedByItsValue) {
  const Rare<std::string> nothing;

  EXPECT_EQ(Rare<std::string>(std::string("a")), Rare<std::string>(std::string("a")));
  EXPECT_NE(Rare<std::string>(std::string("a")), Rare<std::string>(std::string("b")));
  EXPECT_NE(nothing, Rare<std::string>(std::string()));
  EXPECT_EQ(nothing, Rare<std::string>(std::nullopt));
}

TEST(Rare, TakesWhatAnOptionalHas) {
  Rare<std::string> value = std::optional<std::string>("a");
  EXPECT_EQ(*value, "a");

  value = std::optional<std::string>();
  EXPECT_FALSE(value);

  value.emplace(2, 'x');
  EXPECT_EQ(*value, "xx");

  value.reset();
  EXPECT_FALSE(value.has_value());
}

TEST(Rare, ItsValueCanBeMovedOut) {
  Rare<std::string> value = std::string("a long text that has a place of its own");

  const std::string taken = *std::move(value);

  EXPECT_EQ(taken.size(), 39U);
}

TEST(Rare, CanBeAssignedToItself) {
  Rare<std::string> value = std::string("a");
  const Rare<std::string>& same = value;

  value = same;

  EXPECT_EQ(*value, "a");
}

}  // namespace
}  // namespace handfast
