#pragma once
// When something that is fetched is asked for again: at half of its time; after failures soon, then
// ever less often. Pure.

#include <algorithm>
#include <chrono>

#include "proxy/base/clock.h"

namespace handfast::fetch {

inline constexpr std::chrono::seconds kSoonest{60};

// `until`: Unix seconds when what was fetched is out of date; 0: it doesn't say.
[[nodiscard]] constexpr std::chrono::seconds time_until_next(UnixSeconds until, UnixSeconds now,
                                                             std::chrono::seconds latest) {
  if (until == 0) return latest;
  return std::clamp(std::chrono::seconds((until - now) / 2), kSoonest, latest);
}

// `failures`: one after the other, at least 1.
[[nodiscard]] constexpr std::chrono::seconds time_until_retry(int failures) {
  constexpr std::chrono::seconds kFirst{15};
  constexpr std::chrono::seconds kLast{600};
  constexpr int kMostDoublings = 6;
  return std::min(kLast, kFirst * (1 << std::min(failures - 1, kMostDoublings)));
}

}  // namespace handfast::fetch
