#pragma once
// Time as a dependency. Timers use the monotonic clock; validity of certificates and CRLs uses the
// wall clock in Unix seconds. Tests bring their own.

#include <chrono>
#include <cstdint>

namespace handfast {

using Monotonic = std::chrono::steady_clock::time_point;
using UnixSeconds = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Monotonic now() const = 0;
  [[nodiscard]] virtual UnixSeconds unix_now() const = 0;
};

// The machine's clocks. Thread-safe.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Monotonic now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] UnixSeconds unix_now() const override {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace handfast
