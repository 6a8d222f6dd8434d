#include "proxy/http/h2_memory.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

constexpr std::size_t kFrame = 16 * 1024 + 10;

class H2MemoryTest : public ::testing::Test {
 protected:
  void* make(std::size_t size) { return ask().realloc(nullptr, size, ask().mem_user_data); }
  void* make_zeros(std::size_t size) { return ask().calloc(1, size, ask().mem_user_data); }
  void drop(void* block) { ask().free(block, ask().mem_user_data); }
  nghttp2_mem& ask() { return *memory_->functions(); }

  static bool is_zeros(const void* block, std::size_t size) {
    const std::string_view bytes(static_cast<const char*>(block), size);
    return std::ranges::all_of(bytes, [](char c) { return c == 0; });
  }

  std::unique_ptr<H2Memory> memory_ = std::make_unique<H2Memory>();
};

TEST_F(H2MemoryTest, GivesAFramesPagesBackAndNothingElse) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "each block is malloc()'s own";
#endif
  void* const frame = make(kFrame);
  void* const table = make(1024);
  std::memset(frame, 'f', kFrame);
  std::memset(table, 't', 1024);
  memory_->seal();

  memory_->release_frame();

  EXPECT_TRUE(is_zeros(frame, 16 * 1024));
  EXPECT_EQ(std::string_view(static_cast<char*>(table), 1024), std::string(1024, 't'));
  drop(frame);
  drop(table);
}

TEST_F(H2MemoryTest, MakesZerosOfPagesThatAnotherSessionHad) {
  for (int session = 0; session < 200; ++session) {
    memory_ = std::make_unique<H2Memory>();
    void* const frame = make(kFrame);
    void* const table = make_zeros(4096);
    EXPECT_TRUE(is_zeros(table, 4096));
    std::memset(frame, 'f', kFrame);
    std::memset(table, 't', 4096);
    drop(frame);
    drop(table);
  }
}

TEST_F(H2MemoryTest, HoldsWhatItHasNoPlaceForElsewhere) {
  void* const frames[] = {make(kFrame), make(kFrame), make(64 * 1024)};
  void* const tables[] = {make(3000), make_zeros(4096), make_zeros(4096), make(100)};
  memory_->seal();
  void* late = make(2000);
  std::memset(frames[0], 'a', kFrame);
  std::memset(frames[1], 'b', kFrame);
  std::memset(frames[2], 'c', 64 * 1024);
  for (void* const table : tables) std::memset(table, 't', 100);
  std::memset(late, 'l', 2000);
  late = ask().realloc(late, 9000, ask().mem_user_data);

  EXPECT_EQ(static_cast<char*>(frames[0])[kFrame - 1], 'a');
  EXPECT_EQ(static_cast<char*>(frames[1])[0], 'b');
  EXPECT_EQ(static_cast<char*>(late)[1999], 'l');
  for (void* const block : frames) drop(block);
  for (void* const block : tables) drop(block);
  drop(late);
}

TEST_F(H2MemoryTest, ABlockOnThePagesMayGrow) {
  auto* table = static_cast<char*>(make_zeros(4096));
  std::memset(table, 't', 4096);
  memory_->seal();

  table = static_cast<char*>(ask().realloc(table, 64 * 1024, ask().mem_user_data));

  ASSERT_NE(table, nullptr);
  EXPECT_EQ(std::string_view(table, 4096), std::string(4096, 't'));
  std::memset(table, 'x', 64 * 1024);
  drop(table);
}

TEST_F(H2MemoryTest, SessionsShareNothing) {
  void* const frame = make(kFrame);
  std::memset(frame, 'f', kFrame);
  {
    H2Memory other;
    nghttp2_mem& its = *other.functions();
    void* const block = its.realloc(nullptr, kFrame, its.mem_user_data);
    std::memset(block, 'o', kFrame);
    its.free(block, its.mem_user_data);
  }
  EXPECT_EQ(static_cast<char*>(frame)[0], 'f');
  EXPECT_EQ(static_cast<char*>(frame)[kFrame - 1], 'f');
  drop(frame);
}

}  // namespace
}  // namespace handfast::http
