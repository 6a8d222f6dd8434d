#pragma once
// What the requests themselves tell of an endpoint (passive health), and how much it gets by it.
//
//           kFailuresToRest failures in a row          its rest is over: one request is let in
//   Whole --------------------------------> Resting -----------------------------> Probing
//     |  ^                                   ^   ^                                  |   |
//     |  |  kGrowth has passed               |   |   fails: rests twice as long     |   |
//     |  +------------------------ Growing --+   +----------------------------------+   |
//     |                            ^   ^    fails once, after a rest                    |
//     +----------------------------+   +------------------------------------------------+
//       appears in a list of others                          answers
//
// The share is 1 when whole, 0 while it rests, and rises from kLeastShare to 1 while it grows, so
// that what was just started isn't met by everything at once.
//
// What was begun before a rest says nothing in it or after it: fifty requests that fail in one
// moment rest once, and a Pod that drains answers on old connections while it refuses new ones. A
// probe that comes to nothing (its client went away) lets the next request try; one that takes
// longer than kProbePatience lets another in beside it. When all of a Service's endpoints rest,
// they are tried as if none did: an answer then ends the rest at once, a failure doesn't lengthen
// it.
//
// Threading: one worker's. I/O-free: time is an argument, and only moves forward.

#include <chrono>
#include <cstdint>

#include "proxy/base/clock.h"

namespace handfast::upstream {

enum class Outcome : std::uint8_t {
  Ok,       // it answered, whatever the status
  Failed,   // connect, handshake, timeout, or a broken response
  Aborted,  // our client went away, or a kept-alive connection was stale: says nothing
};

class EndpointHealth {
 public:
  // One failure is an accident (a Pod that ends, a lost packet), and is tried again elsewhere; a
  // second may come of the same. Each worker must see them itself, so that more would leave a dead
  // endpoint in for long where traffic is low.
  static constexpr int kFailuresToRest = 3;
  // Rests double from the first to the longest: a restart of a container is noticed within a
  // second, and what is down for long costs two failed tries a minute.
  static constexpr std::chrono::milliseconds kFirstRest{1'000};
  static constexpr std::chrono::milliseconds kLongestRest{30'000};
  static constexpr std::chrono::milliseconds kProbePatience{10'000};
  static constexpr std::chrono::milliseconds kGrowth{10'000};
  static constexpr double kLeastShare = 0.1;

  enum class State : std::uint8_t { Whole, Growing, Resting, Probing };

  // `salt` makes rests of different endpoints and workers end at different times.
  explicit EndpointHealth(std::uint64_t salt) : salt_(salt) {}

  // It is new in a list whose others have their share.
  void grow(Monotonic now);

  // What a request that was given to it must show at its end.
  struct Ticket {
    std::uint32_t epoch = 0;
    bool probe = false;
  };
  [[nodiscard]] Ticket start(Monotonic now);
  void finish(Outcome outcome, Ticket ticket, Monotonic now);

  [[nodiscard]] double share(Monotonic now) const;
  // It may have one request to see whether it is back.
  [[nodiscard]] bool wants_probe(Monotonic now) const;
  // Resting or Probing.
  [[nodiscard]] bool is_resting() const noexcept {
    return state_ == State::Resting || state_ == State::Probing;
  }
  // Growing has come to its end meanwhile: whole again.
  void settle(Monotonic now);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] int failures() const noexcept { return failures_; }  // in a row
  [[nodiscard]] Monotonic rest_until() const noexcept { return until_; }

 private:
  void rest(Monotonic now);

  std::uint64_t salt_;
  Monotonic until_{};        // Resting: its end; Probing: of the patience; Growing: its end
  std::uint32_t epoch_ = 0;  // counts rests and their ends
  int failures_ = 0;
  std::uint8_t rests_ = 0;  // since it was whole
  State state_ = State::Whole;
};

}  // namespace handfast::upstream
