#pragma once
// Times that tests speak of, and a clock that stands still until they move it.

#include <chrono>

#include "proxy/base/clock.h"

namespace handfast::testing {

inline constexpr UnixSeconds kYear2020 = 1577836800;
inline constexpr UnixSeconds kYear2026 = 1767225600;  // a `now` for tests that need one
inline constexpr UnixSeconds kYear2120 = 4733510400;
inline constexpr UnixSeconds kDay = 86400;

// Begins with kYear2026. Threading: moved while nobody else asks.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] Monotonic now() const override { return now_; }
  [[nodiscard]] UnixSeconds unix_now() const override {
    return kYear2026 + std::chrono::duration_cast<std::chrono::seconds>(now_ - kStart).count();
  }

  void advance(std::chrono::nanoseconds by) { now_ += by; }

 private:
  static constexpr Monotonic kStart{std::chrono::hours(1000)};
  Monotonic now_ = kStart;
};

}  // namespace handfast::testing
