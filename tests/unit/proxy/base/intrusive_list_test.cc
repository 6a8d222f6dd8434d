#include "proxy/base/intrusive_list.h"

#include <gtest/gtest.h>

#include <vector>

namespace handfast {
namespace {

struct Item : ListNode {
  explicit Item(int its_value) : value(its_value) {}
  int value;
};

std::vector<int> values(IntrusiveList<Item>& list) {
  std::vector<int> found;
  const auto note = [&](const Item& item) {
    found.push_back(item.value);
    return false;
  };
  EXPECT_EQ(list.find_if(note), nullptr);
  return found;
}

TEST(IntrusiveList, KeepsTheOrderOfBothEnds) {
  IntrusiveList<Item> list;
  Item a(1), b(2), c(3);
  list.push_back(a);
  list.push_back(b);
  list.push_front(c);

  EXPECT_EQ(values(list), (std::vector<int>{3, 1, 2}));
  EXPECT_EQ(list.front().value, 3);
  EXPECT_EQ(list.back().value, 2);
}

TEST(IntrusiveList, ANodeTakesItselfOutWhenItEnds) {
  IntrusiveList<Item> list;
  Item a(1);
  list.push_back(a);
  {
    Item b(2);
    list.push_back(b);
  }

  EXPECT_EQ(values(list), std::vector<int>{1});
}

TEST(IntrusiveList, AddingANodeAgainMovesIt) {
  IntrusiveList<Item> list;
  Item a(1), b(2);
  list.push_back(a);
  list.push_back(b);
  list.push_back(a);

  EXPECT_EQ(values(list), (std::vector<int>{2, 1}));
}

TEST(IntrusiveList, FindsTheFirstThatIsWantedAndLooksNoFurther) {
  IntrusiveList<Item> list;
  Item a(1), b(2), c(2);
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  int asked = 0;

  Item* const found = list.find_if([&](const Item& item) { return ++asked, item.value == 2; });

  EXPECT_EQ(found, &b);
  EXPECT_EQ(asked, 2);
}

TEST(IntrusiveList, SpliceMovesEverythingToTheEnd) {
  IntrusiveList<Item> list, other;
  Item a(1), b(2), c(3);
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);
  list.splice(other);

  EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(other.empty());
}

TEST(IntrusiveList, AListThatEndsLeavesItsNodesUnlinked) {
  Item a(1);
  {
    IntrusiveList<Item> list;
    list.push_back(a);
  }

  EXPECT_FALSE(a.linked());
}

}  // namespace
}  // namespace handfast
