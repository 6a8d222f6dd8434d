#include "proxy/base/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace handfast {
namespace {

struct Item : ListNode {
  explicit Item(int its_value) : value(its_value) {}
  int value;
};

std::vector<int> values(IntrusiveList<Item>& list) {
  std::vector<int> found;
  list.for_each([&](Item& item) { found.push_back(item.value); });
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

TEST(IntrusiveList, AVisitMayDestroyItsItem) {
  IntrusiveList<Item> list;
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 5; ++i) {
    items.push_back(std::make_unique<Item>(i));
    list.push_back(*items.back());
  }
  list.for_each([&](Item& item) { items[static_cast<std::size_t>(item.value)].reset(); });

  EXPECT_TRUE(list.empty());
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
