#include "proxy/tls/record_buffers.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <array>
#include <cstddef>
#include <cstdlib>

namespace handfast::tls {
namespace {

constexpr std::size_t kSmallest = 16 * 1024;  // what records need; nothing else is as large
constexpr std::size_t kLargest = 128 * 1024;
constexpr std::size_t kSizes = 4;
// One would do for a loop that handles message after message; a slow peer keeps its own.
constexpr std::size_t kKept = 4;

// malloc() may give a little more than was asked for.
constexpr std::size_t kSlack = 64;

// The blocks of one size that a thread keeps.
struct Shelf {
  std::size_t size = 0;
  std::size_t count = 0;
  std::array<void*, kKept> blocks{};
};

struct Shelves {
  std::array<Shelf, kSizes> shelves;
  bool is_over = false;  // what other destructors of this thread free is for malloc
};

// Without a destructor, since it is looked at after the end of the thread's objects: what one of
// its own had written, is_over above all, would be dead to the compiler, and is left out by g++ 12.
constinit thread_local Shelves kept;

struct AtThreadEnd {
  ~AtThreadEnd() {
    kept.is_over = true;
    for (Shelf& shelf : kept.shelves) {
      while (shelf.count > 0) std::free(shelf.blocks[--shelf.count]);
    }
  }
  void arm() {}  // it is made when it is used
};

thread_local AtThreadEnd at_thread_end;

void* take(std::size_t size) {
  for (Shelf& shelf : kept.shelves) {
    if (shelf.size == size && shelf.count > 0) return shelf.blocks[--shelf.count];
    if (shelf.size == size) return std::malloc(size);
    if (shelf.size == 0) {
      if (!kept.is_over) shelf.size = size;
      break;
    }
  }
  return std::malloc(size);
}

bool keep(void* block, std::size_t usable) {
  if (kept.is_over) return false;
  for (Shelf& shelf : kept.shelves) {
    if (shelf.size == 0) return false;
    if (usable < shelf.size || usable > shelf.size + kSlack) continue;
    if (shelf.count == kKept) return false;
    at_thread_end.arm();
    shelf.blocks[shelf.count++] = block;
    return true;
  }
  return false;
}

[[maybe_unused]] void* on_malloc(std::size_t size, const char*, int) {
  if (size < kSmallest || size > kLargest) return std::malloc(size);
  return take(size);
}

[[maybe_unused]] void* on_realloc(void* block, std::size_t size, const char*, int) {
  return std::realloc(block, size);
}

[[maybe_unused]] void on_free(void* block, const char*, int) {
  if (block == nullptr) return;
  const std::size_t usable = ::malloc_usable_size(block);
  if (usable >= kSmallest && usable <= kLargest + kSlack && keep(block, usable)) return;
  std::free(block);
}

}  // namespace

void keep_record_buffers() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free);
#endif
}

}  // namespace handfast::tls
