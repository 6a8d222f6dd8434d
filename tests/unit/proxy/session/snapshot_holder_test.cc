#include "proxy/session/snapshot_holder.h"

#include <gtest/gtest.h>

namespace handfast::session {
namespace {

class SnapshotHolderTest : public ::testing::Test {
 protected:
  void replace(std::uint64_t generation) {
    auto snapshot = std::make_shared<route::Snapshot>();
    snapshot->generation = generation;
    holder_.replace(std::move(snapshot));
  }
  std::vector<std::uint64_t> retired_;
  SnapshotHolder holder_{
      [this](SnapshotHolder::SnapshotPtr old) { retired_.push_back(old->generation); }};
};

TEST_F(SnapshotHolderTest, RetiresTheOldOneAtOnceWhenNobodyUsesIt) {
  replace(1);
  replace(2);

  EXPECT_EQ(holder_.current().generation, 2u);
  EXPECT_EQ(retired_, std::vector<std::uint64_t>{1});
}

TEST_F(SnapshotHolderTest, APinKeepsItsSnapshotUntilItEnds) {
  replace(1);
  auto pin = holder_.pin();
  replace(2);
  EXPECT_EQ(pin->generation, 1u);
  EXPECT_TRUE(retired_.empty());

  pin.reset();

  EXPECT_EQ(retired_, std::vector<std::uint64_t>{1});
}

TEST_F(SnapshotHolderTest, TheCurrentOneStaysWithoutPins) {
  replace(1);
  holder_.pin().reset();

  EXPECT_TRUE(retired_.empty());
  EXPECT_EQ(holder_.current().generation, 1u);
}

// A stream that is open for a day must not keep every generation of that day.
TEST_F(SnapshotHolderTest, AnOldPinKeepsNoneOfThoseBetween) {
  replace(1);
  const auto stream = holder_.pin();
  for (std::uint64_t generation = 2; generation <= 10; ++generation) replace(generation);

  EXPECT_EQ(retired_, (std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(stream->generation, 1u);
}

TEST_F(SnapshotHolderTest, AMovedPinCountsOnce) {
  replace(1);
  auto first = holder_.pin();
  auto second = std::move(first);
  replace(2);
  EXPECT_TRUE(retired_.empty());
  second.reset();

  EXPECT_EQ(retired_, std::vector<std::uint64_t>{1});
}

}  // namespace
}  // namespace handfast::session
