#include "proxy/base/buffer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace handfast {
namespace {

TEST(Buffer, GivesBackWhatWasAppendedInOrder) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append("hello ");
  buffer.append("world");

  EXPECT_EQ(buffer.view(), "hello world");
  EXPECT_EQ(buffer.size(), 11u);
}

TEST(Buffer, AnEmptyOneHoldsNoMemoryOnceReleased) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append("x");
  buffer.release_if_empty();
  EXPECT_EQ(buffer.capacity(), BufferPool::kBlockSize);

  buffer.consume(1);
  buffer.release_if_empty();

  EXPECT_EQ(buffer.capacity(), 0u);
  EXPECT_TRUE(buffer.tail().empty());
}

TEST(Buffer, ReusesTheBlockOfAnotherOne) {
  BufferPool pool;
  const char* first = nullptr;
  {
    Buffer buffer(pool);
    first = buffer.prepare(1).data();
  }
  Buffer buffer(pool);

  EXPECT_EQ(buffer.prepare(1).data(), first);
}

TEST(Buffer, ErasingLeavesWhatLiesBeforeInItsPlace) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append("head|body|next");
  const char* const head = buffer.view().data();

  buffer.erase(5, 5);

  EXPECT_EQ(buffer.view(), "head|next");
  EXPECT_EQ(buffer.view().data(), head);
}

TEST(Buffer, GrowsBeyondABlockWithoutLosingAByte) {
  BufferPool pool;
  Buffer buffer(pool);
  const std::string big(3 * BufferPool::kBlockSize, 'x');
  buffer.append("ab");
  buffer.consume(1);

  buffer.append(big);

  EXPECT_EQ(buffer.view(), "b" + big);
}

TEST(Buffer, PrepareMovesTheBytesRatherThanGrow) {
  BufferPool pool;
  Buffer buffer(pool);
  buffer.append(std::string(BufferPool::kBlockSize, 'a'));
  buffer.consume(BufferPool::kBlockSize - 10);

  EXPECT_GE(buffer.prepare(1000).size(), 1000u);

  EXPECT_EQ(buffer.capacity(), BufferPool::kBlockSize);
  EXPECT_EQ(buffer.view(), std::string(10, 'a'));
}

// Against std::string, whatever is done to both.
TEST(Buffer, BehavesLikeAStringOverManySeeds) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    BufferPool pool;
    Buffer buffer(pool);
    std::string model;
    for (int step = 0; step < 300; ++step) {
      const std::size_t amount = random() % (random() % 8 == 0 ? 40'000 : 300);
      switch (random() % 5) {
        case 0:
        case 1: {
          const std::string bytes(amount, static_cast<char>('a' + random() % 26));
          buffer.append(bytes);
          model += bytes;
          break;
        }
        case 2: {
          const std::span<char> room = buffer.prepare(amount);
          ASSERT_GE(room.size(), amount);
          const std::size_t used = std::min(amount, room.size());
          std::fill_n(room.begin(), used, 'p');
          buffer.commit(used);
          model.append(used, 'p');
          break;
        }
        case 3: {
          const std::size_t bytes = std::min(amount, model.size());
          buffer.consume(bytes);
          model.erase(0, bytes);
          break;
        }
        default: {
          const std::size_t offset = model.empty() ? 0 : random() % model.size();
          const std::size_t bytes = std::min(amount, model.size() - offset);
          buffer.erase(offset, bytes);
          model.erase(offset, bytes);
          buffer.release_if_empty();
        }
      }
      ASSERT_EQ(buffer.view(), model);
      ASSERT_EQ(buffer.empty(), model.empty());
    }
  }
}

}  // namespace
}  // namespace handfast
