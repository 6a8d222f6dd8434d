#pragma once
// A worker's present snapshot, and those before it which exchanges still use.
//
// An exchange pins the snapshot that it began with: its route stays though a new snapshot has come.
// Pins are plain counters, since they belong to one worker. A snapshot that nobody pins any more is
// handed to `retire`, which drops it off the event loop.
//
// Threading: one worker's. The holder outlives its pins.

#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <utility>

#include "proxy/route/snapshot.h"

namespace handfast::session {

class SnapshotHolder {
 public:
  using SnapshotPtr = std::shared_ptr<const route::Snapshot>;

  explicit SnapshotHolder(std::function<void(SnapshotPtr)> retire) : retire_(std::move(retire)) {}

 private:
  struct Held {
    SnapshotPtr snapshot;
    std::uint32_t pins = 0;
  };

 public:
  class Pin {
   public:
    Pin() = default;
    Pin(SnapshotHolder& holder, Held& held) : holder_(&holder), held_(&held) { ++held.pins; }
    Pin(Pin&& other) noexcept
        : holder_(std::exchange(other.holder_, nullptr)),
          held_(std::exchange(other.held_, nullptr)) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(holder_, other.holder_);
      std::swap(held_, other.held_);
      return *this;
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() { reset(); }

    void reset() {
      if (held_ == nullptr) return;
      --held_->pins;
      holder_->collect();
      holder_ = nullptr;
      held_ = nullptr;
    }
    [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
    [[nodiscard]] const route::Snapshot& operator*() const { return *held_->snapshot; }
    [[nodiscard]] const route::Snapshot* operator->() const { return held_->snapshot.get(); }

   private:
    SnapshotHolder* holder_ = nullptr;
    Held* held_ = nullptr;
  };

  void replace(SnapshotPtr snapshot) {
    held_.push_back(Held{std::move(snapshot), 0});
    collect();
  }
  // Precondition: replace() was called.
  [[nodiscard]] const route::Snapshot& current() const { return *held_.back().snapshot; }
  [[nodiscard]] bool empty() const { return held_.empty(); }
  [[nodiscard]] Pin pin() { return Pin(*this, held_.back()); }

 private:
  // Also from the middle: a stream that is open for a day must not keep every generation of it.
  void collect() {
    for (auto held = held_.begin(); std::next(held) != held_.end();) {
      if (held->pins > 0) {
        ++held;
        continue;
      }
      retire_(std::move(held->snapshot));
      held = held_.erase(held);
    }
  }

  std::function<void(SnapshotPtr)> retire_;
  std::list<Held> held_;  // oldest first; the last is current
};

}  // namespace handfast::session
