#include "proxy/event/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace handfast::event {

Timer::~Timer() { cancel(); }

void Timer::set(Monotonic deadline) {
  deadline_ = deadline;
  armed_ = true;
  if (linked() && wheel_->tick_of(deadline) >= filed_tick_)
    return;  // met on the way, then re-filed
  wheel_->file(*this);
}

void Timer::cancel() noexcept {
  armed_ = false;
  if (linked()) {
    unlink();
    --wheel_->filed_;
  }
}

std::uint64_t TimerWheel::tick_of(Monotonic time) const {
  if (time <= start_) return 0;
  // Rounded up: never early.
  return static_cast<std::uint64_t>((time - start_ + kTick - std::chrono::nanoseconds(1)) / kTick);
}

void TimerWheel::file(Timer& timer) {
  if (!timer.linked()) ++filed_;
  timer.filed_tick_ = std::max(tick_of(timer.deadline_), current_ + 1);
  const std::size_t slot = timer.filed_tick_ % kSlots;
  slots_[slot].push_back(timer);
  occupied_[slot / 64] |= std::uint64_t{1} << slot % 64;
}

void TimerWheel::advance(Monotonic now) {
  if (now <= start_) return;
  const auto target = static_cast<std::uint64_t>((now - start_) / kTick);
  if (filed_ == 0) {
    current_ = std::max(current_, target);
    return;
  }
  // After a long pause one full turn visits every slot once; more would be work without effect.
  if (target > current_ + kSlots) current_ = target - kSlots;
  while (current_ < target) {
    ++current_;
    const std::size_t slot = current_ % kSlots;
    occupied_[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
    IntrusiveList<Timer> due;
    due.splice(slots_[slot]);
    while (!due.empty()) {
      Timer& timer = due.front();
      if (tick_of(timer.deadline_) > current_) {
        file(timer);
        continue;
      }
      timer.cancel();
      timer.on_fire_();
    }
  }
}

// Precondition: a timer is filed. Cancelled ones leave their bit, so that it may be in vain.
std::uint64_t TimerWheel::next_occupied_tick() const {
  const std::uint64_t first = current_ + 1;
  std::size_t word = first % kSlots / 64;
  std::uint64_t bits = occupied_[word] & ~std::uint64_t{0} << first % 64;
  std::uint64_t tick = first - first % 64;
  while (bits == 0) {
    word = (word + 1) % occupied_.size();
    bits = occupied_[word];
    tick += 64;
  }
  return tick + static_cast<std::uint64_t>(std::countr_zero(bits));
}

int TimerWheel::wait_milliseconds(Monotonic now) const {
  if (filed_ == 0) return -1;
  const Monotonic next = start_ + kTick * static_cast<std::int64_t>(next_occupied_tick());
  if (next <= now) return 0;
  return static_cast<int>(
             std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count()) +
         1;
}

}  // namespace handfast::event
