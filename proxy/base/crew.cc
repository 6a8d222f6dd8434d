#include "proxy/base/crew.h"

#include <utility>

namespace handfast {

void Crew::post(Task task, bool is_awaited) {
  {
    const std::lock_guard lock{mutex_};
    if (stopping_) return;
    (is_awaited ? awaited_ : others_).push_back(std::move(task));
    if (awaited_.size() + others_.size() > idle_ && threads_.size() < most_) {
      threads_.emplace_back([this] { run(); });
    }
  }
  wake_.notify_one();
}

void Crew::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Crew::run() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock{mutex_};
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !awaited_.empty() || !others_.empty(); });
      --idle_;
      if (stopping_) return;
      std::deque<Task>& queue = awaited_.empty() ? others_ : awaited_;
      task = std::move(queue.front());
      queue.pop_front();
    }
    task();
  }
}

}  // namespace handfast
