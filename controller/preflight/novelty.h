#pragma once
// What of a policy's shard is new since the one that serves, and what of that may be kept back.
//
// Kept back is only what the old content can still stand in for without being less strict:
//
//   a pair    that is other content of the same object, while the old one hasn't expired
//   trust     that only grew: no anchor of the old one is missing
//
// Whatever shrinks takes effect at once, and whatever else changes with it.
//
// Threading: one thread's. Ownership: borrows for the time of the call.

#include <functional>
#include <optional>
#include <string>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::preflight {

struct Novelty {
  bool identity = false;
  bool trust = false;  // there are anchors that weren't there
  bool may_keep_identity = false;
  bool may_keep_trust = false;
  UnixSeconds identity_ends = 0;  // of the old one, if it may be kept

  [[nodiscard]] bool any() const { return identity || trust; }
};

// The bytes of a file that a shard names.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

// `served` is what serves now, `wanted` what is to take its place. What can't be read counts as
// nothing that could be kept.
[[nodiscard]] Novelty find_novelty(const config::UpstreamTls& served,
                                   const config::UpstreamTls& wanted, UnixSeconds now,
                                   const ReadFile& read_file);

}  // namespace handfast::preflight
