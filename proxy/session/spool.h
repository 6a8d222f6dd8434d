#pragma once
// A body that is kept until its receiver takes it: in memory while it is small, else in a file
// without a name, which ends with the process whatever happens.
//
//   append* -> peek / consume -> … (rewind: once more from the start)
//
// The files lie in one directory (--temp-dir); writing goes to the page cache, as nginx does it on
// its event loop. Whoever appends bounds the size.
//
// Threading: one worker's. Errors: no room on the disk and the like; the body is then lost.

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/base/buffer.h"
#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"

namespace handfast::session {

class Spool {
 public:
  static constexpr std::size_t kMemory = 64 * 1024;

  Spool(BufferPool& buffers, const std::string& directory);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  Status append(std::string_view bytes);
  // The next bytes, as many as are at hand in one piece; empty: all taken. Good until the next
  // call.
  Result<std::string_view> peek();
  void consume(std::size_t bytes);
  // What was consumed is there again.
  void rewind() { taken_ = 0; }
  // All that was consumed is forgotten.
  void forget();

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return size_ - taken_; }

 private:
  Status to_file(std::string_view bytes);

  const std::string& directory_;
  Buffer memory_;  // all of it, until there is a file; then a window of the file
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t window_ = 0;  // where in the file the memory's bytes come from
};

}  // namespace handfast::session
