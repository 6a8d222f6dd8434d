#pragma once
// A few threads for work that blocks, made when there is need of them: what is slow delays nobody
// but itself.
//
// Threading: post() from any thread, also from a task; stop() from one that isn't the crew's.
// Ownership: what tasks refer to must outlive stop().

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace handfast {

class Crew {
 public:
  using Task = std::function<void()>;

  explicit Crew(std::size_t most) : most_(most) {}
  ~Crew() { stop(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Tasks that somebody waits for come before the others, both in their order.
  void post(Task task, bool is_awaited = true);
  // Waits for what is under way; what is queued is dropped, and what is posted from now on.
  void stop();
  // For tasks that can end early.
  [[nodiscard]] const std::atomic<bool>& stopping() const noexcept { return stopping_; }

 private:
  void run();

  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_, down to idle_.
  std::deque<Task> awaited_;
  std::deque<Task> others_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  std::atomic<bool> stopping_{false};
};

}  // namespace handfast
