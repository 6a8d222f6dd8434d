#include "proxy/http/h2_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace handfast::http {
namespace {

constexpr std::size_t kPage = 4096;
// Of these bytes the pages are given back; the buffer has room for a header besides.
constexpr std::size_t kFrame = 16 * 1024;
constexpr std::size_t kFrameBuffer = kFrame + 64;
// A frame's buffer, and behind it the tables.
constexpr std::size_t kSlot = 6 * kPage;
constexpr std::size_t kSlotsAtOnce = 64;
// Tables of the session; smaller blocks are in use all the time.
constexpr std::size_t kTable = 1000;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kEnabled = false;  // each block must be seen by itself
#else
constexpr bool kEnabled = true;
#endif

// Slots of zeros that no session has; they are never unmapped.
class Slots {
 public:
  char* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty() && !map_more()) return nullptr;
    char* const slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void give_back(char* slot) {
    if (::madvise(slot, kSlot, MADV_DONTNEED) != 0) std::memset(slot, 0, kSlot);  // larger pages
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }

 private:
  bool map_more() {
    constexpr std::size_t kBytes = kSlotsAtOnce * kSlot;
    void* const made = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) return false;
    ::madvise(made, kBytes, MADV_NOHUGEPAGE);  // a touched byte must cost a page, not 2 MiB
    free_.reserve(free_.size() + kSlotsAtOnce);
    for (std::size_t i = kSlotsAtOnce; i-- > 0;) {
      free_.push_back(static_cast<char*>(made) + i * kSlot);
    }
    return true;
  }

  std::mutex mutex_;
  std::vector<char*> free_;
};

Slots& slots() {
  static Slots all;
  return all;
}

H2Memory& memory_of(void* self) { return *static_cast<H2Memory*>(self); }

}  // namespace

H2Memory::H2Memory() : functions_{this, on_malloc, on_free, on_calloc, on_realloc} {
  if (kEnabled) pages_ = slots().take();
}

H2Memory::~H2Memory() {
  if (pages_ != nullptr) slots().give_back(pages_);
}

// Null: there is no room for it, or it is neither frame nor table.
void* H2Memory::place(std::size_t size) noexcept {
  if (pages_ == nullptr || sealed_ || size < kTable) return nullptr;
  if (size >= kFrame) {
    if (has_frame_ || size > kFrameBuffer) return nullptr;
    has_frame_ = true;
    return pages_;
  }
  const std::size_t at = kFrameBuffer + tables_;
  const std::size_t rounded = (size + 15) / 16 * 16;
  if (rounded > kSlot - at) return nullptr;
  tables_ += rounded;
  return pages_ + at;
}

bool H2Memory::owns(const void* block) const noexcept {
  if (pages_ == nullptr) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(block);
  const auto begin = reinterpret_cast<std::uintptr_t>(pages_);
  return at >= begin && at < begin + kSlot;
}

void H2Memory::release_frame() noexcept {
  if (has_frame_) ::madvise(pages_, kFrame, MADV_DONTNEED);
}

void* H2Memory::on_malloc(std::size_t size, void* self) {
  void* const placed = memory_of(self).place(size);
  return placed != nullptr ? placed : std::malloc(size);
}

void H2Memory::on_free(void* block, void* self) {
  if (!memory_of(self).owns(block)) std::free(block);
}

void* H2Memory::on_calloc(std::size_t count, std::size_t size, void* self) {
  // Pages are zeros. The session itself is smaller, and always in use.
  if (count * size >= kPage) {
    if (void* const placed = memory_of(self).place(count * size)) return placed;
  }
  return std::calloc(count, size);
}

void* H2Memory::on_realloc(void* block, std::size_t size, void* self) {
  if (block == nullptr) return on_malloc(size, self);  // buffers begin so
  if (!memory_of(self).owns(block)) return std::realloc(block, size);
  // nghttp2 grows none of these today. Where a block ends isn't known: behind it lie others.
  void* const moved = std::malloc(size);
  const char* const end = memory_of(self).pages_ + kSlot;
  const auto held = static_cast<std::size_t>(end - static_cast<const char*>(block));
  if (moved != nullptr) std::memcpy(moved, block, std::min(size, held));
  return moved;
}

}  // namespace handfast::http
