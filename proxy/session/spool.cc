#include "proxy/session/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utility>

#include "proxy/base/check.h"

namespace handfast::session {
namespace {

constexpr std::size_t kWindow = BufferPool::kBlockSize;

Result<UniqueFd> open_unnamed(const std::string& directory) {
  UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  // Not every file system has O_TMPFILE.
  std::string name = directory + "/handfast-XXXXXX";
  file = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) return fail(Reason::Io, "cannot buffer in " + directory + ": " + ::strerror(errno));
  ::unlink(name.c_str());
  return file;
}

}  // namespace

Spool::Spool(BufferPool& buffers, const std::string& directory)
    : directory_(directory), memory_(buffers) {}

Spool::~Spool() = default;

Status Spool::append(std::string_view bytes) {
  if (!file_ && memory_.size() + bytes.size() <= kMemory) {
    memory_.append(bytes);
    size_ += bytes.size();
    return {};
  }
  if (!file_) {
    auto file = open_unnamed(directory_);
    if (!file) return fail(file.error());
    file_ = std::move(*file);
    size_ = 0;
    if (Status moved = to_file(memory_.view()); !moved) return moved;
    memory_.clear();
    window_ = 0;
  }
  return to_file(bytes);
}

Status Spool::to_file(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      return fail(Reason::Io, "cannot buffer in " + directory_ + ": " + ::strerror(errno));
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string_view> Spool::peek() {
  if (left() == 0) return std::string_view();
  if (!file_) return memory_.view().substr(static_cast<std::size_t>(taken_));
  if (taken_ >= window_ && taken_ < window_ + memory_.size()) {
    return memory_.view().substr(static_cast<std::size_t>(taken_ - window_));
  }
  memory_.clear();
  const std::span<char> space = memory_.prepare(kWindow);
  ssize_t got = 0;
  do {
    got = ::pread(file_.get(), space.data(), space.size(), static_cast<off_t>(taken_));
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return fail(Reason::Io, std::string("a buffered body: ") + ::strerror(errno));
  memory_.commit(static_cast<std::size_t>(got));
  window_ = taken_;
  return memory_.view();
}

void Spool::consume(std::size_t bytes) {
  check(bytes <= left());
  taken_ += bytes;
}

void Spool::forget() {
  if (left() > 0) return;
  size_ = taken_ = window_ = 0;
  memory_.clear();
  memory_.release_if_empty();
  // The file stays for what comes next, and gives its pages back.
  if (file_) [[maybe_unused]]
    const int cut = ::ftruncate(file_.get(), 0);
}

}  // namespace handfast::session
