#pragma once
// What stands in for a shard that the proxy would not take: its last good form as far as that
// widens nothing, else a refusal that answers 503.
//
// A TLS policy keeps the last good one of the rejected item alone (its pair, its CA, its CRL),
// under the new rules and with the other items new: a policy that was tightened never falls back to
// what it was. A host whose certificate is rejected keeps the last good certificate, or serves with
// the default one; one that can't be read answers 503, since an older form may let in whom the new
// one doesn't. A Service falls back whole.
//
// Pure; thread-safe.

#include <optional>

#include "proxy/config/control.h"
#include "proxy/config/model.h"

namespace handfast::publish {

// `last_good`: the same shard as it was last acknowledged, if it was. Never answers `rejected`
// itself.
[[nodiscard]] config::Shard replacement_for(const config::Shard& rejected,
                                            const std::optional<config::Shard>& last_good,
                                            const config::Rejection& rejection);

// The shard at 503, naming no file: for a second rejection, and for what can't be written.
[[nodiscard]] config::Shard refused(const config::Shard& shard, const config::Refusal& refusal);

// What answers 503 in the place of the rejected shard and repeats nothing of it but its name: for
// what can't be read. Nobody has a reason to reject it too, so that no other shard waits for it.
[[nodiscard]] config::Shard closed(const config::Rejection& rejection);

}  // namespace handfast::publish
