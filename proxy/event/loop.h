#pragma once
// One thread's event loop: edge-triggered epoll, timers, a mailbox, and work at the end of a round.
//
// A round: wait -> events -> timers -> mailbox -> end-of-round work (flushes) -> deferred
// deletions. Descriptors are registered once, for reading and writing; nothing calls epoll_ctl per
// request.
//
// THE rule of edge-triggered epoll: whoever queues bytes must see to it that they are sent without
// waiting for an event, since the descriptor may have been writable all along. Here that is one
// call, at_round_end(), made by the streams' write(); see net::Connection.
//
// Threading: everything but post(), stop() and on_this_thread() belongs to the thread in run().
// Ownership: handlers are borrowed; a handler that ends within a round is given to defer_delete(),
// so that events of the same round which still name it find it alive (and closed).

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"
#include "proxy/event/timer_wheel.h"

namespace handfast::event {

// Anything that can be owned by the loop until the end of the round.
class Deletable {
 public:
  Deletable() = default;
  Deletable(const Deletable&) = delete;
  Deletable& operator=(const Deletable&) = delete;
  virtual ~Deletable() = default;
};

class Handler : public virtual Deletable {
 public:
  // `events`: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR.
  virtual void on_event(std::uint32_t events) = 0;
};

// Wants one call at the end of the round in which it was scheduled.
class RoundEnd : public virtual Deletable {
 public:
  virtual void on_round_end() = 0;

 private:
  friend class Loop;
  bool scheduled_ = false;
};

class Loop {
 public:
  static Result<std::unique_ptr<Loop>> create(const Clock& clock);
  ~Loop();

  // Until stop(). What was posted before stop() still runs. May be called again after.
  void run();
  void stop();

  Status add(int fd, Handler& handler);
  // Events of a registered descriptor go to another handler from now on; what is ready is told
  // again.
  void rebind(int fd, Handler& handler);
  // Before the descriptor is closed.
  void remove(int fd);

  // Runs `task` on the loop's thread. Any thread.
  void post(std::function<void()> task);

  void at_round_end(RoundEnd& work);
  void defer_delete(std::unique_ptr<Deletable> object);

  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
  // As of the start of the round.
  [[nodiscard]] Monotonic now() const noexcept { return now_; }
  [[nodiscard]] UnixSeconds unix_now() const noexcept { return unix_now_; }
  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }

 private:
  Loop(const Clock& clock, UniqueFd epoll, UniqueFd wake);
  void read_clock();
  void run_mail();
  void end_round();

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  TimerWheel timers_;
  Monotonic now_;
  UnixSeconds unix_now_ = 0;
  bool stopping_ = false;

  std::mutex mail_mutex_;
  std::vector<std::function<void()>> mail_;

  std::vector<RoundEnd*> round_end_;
  std::vector<std::unique_ptr<Deletable>> deleted_;
};

}  // namespace handfast::event
