#pragma once
// A contiguous byte queue: written at the back, read at the front, memory from a per-worker pool.
//
// An empty buffer holds no memory once release_if_empty() was called, so that an idle connection
// costs nothing. A buffer grows beyond a pool block when asked to; whoever fills it bounds it.
//
// Threading: one worker's. A Buffer must not outlive its pool.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace handfast {

// Blocks of kBlockSize bytes, kept for reuse.
class BufferPool {
 public:
  static constexpr std::size_t kBlockSize = 16 * 1024;
  static constexpr std::size_t kMaxKept = 512;  // 8 MiB a worker

  using Block = std::unique_ptr<char[]>;

  [[nodiscard]] Block take();
  void give_back(Block block);

 private:
  std::vector<Block> free_;
};

class Buffer {
 public:
  explicit Buffer(BufferPool& pool) : pool_(&pool) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept
      : pool_(other.pool_),
        data_(std::move(other.data_)),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  ~Buffer() { release(); }

  [[nodiscard]] std::string_view view() const noexcept {
    return {data_.get() + begin_, end_ - begin_};
  }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  // Room for at least `least` more bytes at the back; moves or reallocates what is there if need
  // be, so views into the buffer are void afterwards.
  std::span<char> prepare(std::size_t least);
  // Room behind the last byte as it is now, without moving anything; may be empty.
  [[nodiscard]] std::span<char> tail() noexcept { return {data_.get() + end_, capacity_ - end_}; }
  void commit(std::size_t bytes) noexcept { end_ += bytes; }
  void append(std::string_view bytes);
  void consume(std::size_t bytes) noexcept;
  // Takes `bytes` out that begin `offset` behind the front; what follows moves up. What lies before
  // keeps its place.
  void erase(std::size_t offset, std::size_t bytes) noexcept;

  void clear() noexcept { begin_ = end_ = 0; }
  void release_if_empty() {
    if (empty()) release();
  }

 private:
  void release();

  BufferPool* pool_;
  BufferPool::Block data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace handfast
