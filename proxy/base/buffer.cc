#include "proxy/base/buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/base/check.h"

namespace handfast {

BufferPool::Block BufferPool::take() {
  if (free_.empty()) return Block(new char[kBlockSize]);
  Block block = std::move(free_.back());
  free_.pop_back();
  return block;
}

void BufferPool::give_back(Block block) {
  if (free_.size() < kMaxKept) free_.push_back(std::move(block));
}

std::span<char> Buffer::prepare(std::size_t least) {
  if (capacity_ - end_ >= least && data_ != nullptr) return tail();
  const std::size_t held = size();
  if (data_ != nullptr && capacity_ - held >= least) {
    std::memmove(data_.get(), data_.get() + begin_, held);
  } else {
    const std::size_t wanted = held + least;
    const bool pooled = wanted <= BufferPool::kBlockSize;
    const std::size_t capacity = pooled ? BufferPool::kBlockSize : std::max(wanted, 2 * capacity_);
    BufferPool::Block grown = pooled ? pool_->take() : BufferPool::Block(new char[capacity]);
    if (held > 0) std::memcpy(grown.get(), data_.get() + begin_, held);
    if (capacity_ == BufferPool::kBlockSize) pool_->give_back(std::move(data_));
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = held;
  return tail();
}

void Buffer::append(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::span<char> room = prepare(bytes.size());
  std::memcpy(room.data(), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Buffer::consume(std::size_t bytes) noexcept {
  check(bytes <= size());
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

void Buffer::erase(std::size_t offset, std::size_t bytes) noexcept {
  check(offset + bytes <= size());
  if (bytes == 0) return;
  char* at = data_.get() + begin_ + offset;
  std::memmove(at, at + bytes, size() - offset - bytes);
  end_ -= bytes;
}

void Buffer::release() {
  if (data_ != nullptr && capacity_ == BufferPool::kBlockSize) {
    pool_->give_back(std::move(data_));
  }
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace handfast
