#pragma once
// From the cluster's objects to the proxy's configuration: pure, no I/O, no logging.
//
// This is the definition; who goes on from change to change uses the Translator that does the work.
// `now` is used for nothing but the start of a bad item's age and for telling about expiry; whether
// something expired is judged by the proxy when it connects.
//
// Everything that can be wrong is in the Report; what can't be satisfied becomes a Refusal in its
// route, policy or Service, and hurts nothing else. The same input gives the same output, byte for
// byte.

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/translate/material.h"
#include "controller/translate/options.h"
#include "controller/translate/report.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct Output {
  std::vector<config::Shard>
      shards;  // every host, Service and policy in use, valid by config::validate; sorted by name
  std::optional<config::KeyPairRef> default_certificate;
  FileSet files;   // every file that a shard names, but those of last good items
  LastGood items;  // to be kept once this output is acknowledged
  Report report;   // in the order of sort()
  // Secrets and ConfigMaps that were asked for, there or not: nobody needs to keep others.
  std::set<objects::ObjectKey> references;
};

[[nodiscard]] Output translate(const state::ClusterState& state, const LastGood& last_good,
                               const Options& options, std::int64_t now);

}  // namespace handfast::translate
