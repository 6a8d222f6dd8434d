#pragma once
// Many coarse timers, most of which are moved or cancelled before they fire.
//
// Time is cut into ticks of 64 ms; a timer fires in the first tick at or after its deadline. Moving
// a timer to a later time only stores the deadline; the wheel re-files it when it comes across it,
// so that a keep-alive connection's timer costs one store per request.
//
// Threading: one loop's. Ownership: a Timer belongs to whoever it wakes and takes itself out when
// it is destroyed. I/O-free: the caller says what time it is.

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>

#include "proxy/base/clock.h"
#include "proxy/base/intrusive_list.h"

namespace handfast::event {

class TimerWheel;

class Timer : private ListNode {
 public:
  // `on_fire` runs on the loop's thread, at most once per set().
  Timer(TimerWheel& wheel, std::function<void()> on_fire)
      : wheel_(&wheel), on_fire_(std::move(on_fire)) {}
  ~Timer();

  void set(Monotonic deadline);
  void cancel() noexcept;
  [[nodiscard]] bool armed() const noexcept { return armed_; }

 private:
  friend class TimerWheel;
  friend class handfast::IntrusiveList<Timer>;
  TimerWheel* wheel_;
  std::function<void()> on_fire_;
  Monotonic deadline_;
  std::uint64_t filed_tick_ = 0;
  bool armed_ = false;
};

class TimerWheel {
 public:
  static constexpr std::chrono::milliseconds kTick{64};
  static constexpr std::size_t kSlots =
      1024;  // one turn: 65 s; later timers are met again each turn

  explicit TimerWheel(Monotonic start) : start_(start) {}

  // Fires what is due. A timer may be set or cancelled from within any callback, and destroyed from
  // within any but its own.
  void advance(Monotonic now);
  // Milliseconds until advance() should be called again; -1: no timer is filed.
  [[nodiscard]] int wait_milliseconds(Monotonic now) const;

 private:
  friend class Timer;
  [[nodiscard]] std::uint64_t tick_of(Monotonic time) const;
  [[nodiscard]] std::uint64_t next_occupied_tick() const;
  void file(Timer& timer);

  Monotonic start_;
  std::uint64_t current_ = 0;  // the last tick that was advanced through
  std::size_t filed_ = 0;
  std::array<IntrusiveList<Timer>, kSlots> slots_;
  // A bit for each slot that may hold timers: a loop with nothing to do sleeps until the next one.
  std::array<std::uint64_t, kSlots / 64> occupied_{};
};

}  // namespace handfast::event
