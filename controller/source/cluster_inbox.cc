#include "controller/source/cluster_inbox.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace handfast::source {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20;
// steady_clock's end of time, and what comes near it, overflows in the conditions of the library.
constexpr std::chrono::hours kLongWait{1};

}  // namespace

void ClusterInbox::put(Note note) {
  const std::size_t bytes = note.line.size() + note.answer.body.size();
  std::unique_lock lock{mutex_};
  // One that is larger than the bound comes alone.
  went_.wait(lock, [this] { return is_closed_ || bytes_ < kMostBytes; });
  if (is_closed_) return;
  bytes_ += bytes;
  notes_.push_back(std::move(note));
  came_.notify_one();
}

void ClusterInbox::wake() {
  const std::lock_guard lock{mutex_};
  is_woken_ = true;
  came_.notify_one();
}

void ClusterInbox::close() {
  const std::lock_guard lock{mutex_};
  is_closed_ = true;
  came_.notify_all();
  went_.notify_all();
}

bool ClusterInbox::is_closed() {
  const std::lock_guard lock{mutex_};
  return is_closed_;
}

std::vector<ClusterInbox::Note> ClusterInbox::take(Monotonic deadline) {
  std::unique_lock lock{mutex_};
  deadline = std::min(deadline, std::chrono::steady_clock::now() + kLongWait);
  came_.wait_until(lock, deadline, [this] { return is_closed_ || is_woken_ || !notes_.empty(); });
  is_woken_ = false;
  bytes_ = 0;
  went_.notify_all();
  return std::exchange(notes_, {});
}

}  // namespace handfast::source
