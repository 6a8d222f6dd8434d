#include "proxy/upstream/endpoint_health.h"

#include <algorithm>

#include "proxy/upstream/mix.h"

namespace handfast::upstream {

void EndpointHealth::grow(Monotonic now) {
  state_ = State::Growing;
  until_ = now + kGrowth;
}

void EndpointHealth::settle(Monotonic now) {
  if (state_ != State::Growing || now < until_) return;
  state_ = State::Whole;
  rests_ = 0;
}

bool EndpointHealth::wants_probe(Monotonic now) const { return is_resting() && now >= until_; }

EndpointHealth::Ticket EndpointHealth::start(Monotonic now) {
  settle(now);
  if (!wants_probe(now)) return {epoch_, false};
  state_ = State::Probing;
  until_ = now + kProbePatience;
  return {epoch_, true};
}

void EndpointHealth::finish(Outcome outcome, Ticket ticket, Monotonic now) {
  settle(now);
  if (ticket.epoch != epoch_) return;
  switch (outcome) {
    case Outcome::Ok:
      failures_ = 0;
      if (!is_resting()) return;
      ++epoch_;
      grow(now);
      return;
    case Outcome::Failed:
      if (is_resting() && !ticket.probe) return;
      ++failures_;
      if (rests_ > 0 || failures_ >= kFailuresToRest) rest(now);
      return;
    case Outcome::Aborted:
      if (state_ != State::Probing || !ticket.probe) return;
      state_ = State::Resting;
      until_ = now;
      return;
  }
}

void EndpointHealth::rest(Monotonic now) {
  const auto length = std::min(kFirstRest * (1 << std::min<int>(rests_, 10)), kLongestRest);
  // Between three and five quarters: endpoints that fell together don't come back together.
  const double jitter = 0.75 + 0.5 * fraction(mix(salt_ + rests_));
  until_ = now + std::chrono::duration_cast<std::chrono::milliseconds>(length * jitter);
  if (rests_ < 10) ++rests_;
  state_ = State::Resting;
  ++epoch_;
}

double EndpointHealth::share(Monotonic now) const {
  if (is_resting()) return 0;
  if (state_ == State::Whole || now >= until_) return 1;
  const std::chrono::duration<double> left = until_ - now;
  return std::max(kLeastShare, 1 - left / std::chrono::duration<double>(kGrowth));
}

}  // namespace handfast::upstream
