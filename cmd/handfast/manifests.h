#pragma once
// Manifests as the controller and the proxy would have them: read once, translated, and loaded into
// a snapshot by the proxy's own code.
//
// The proxy loads material from files, so that of the manifests lies in a directory of ours (0700,
// in memory where there is such a file system) for the moment of loading, and is gone before
// anything is asked of a backend.

#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/state/cluster_state.h"
#include "controller/translate/options.h"
#include "controller/translate/report.h"
#include "controller/translate/translate.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"
#include "proxy/route/snapshot.h"
#include "proxy/server/route_metrics.h"

namespace handfast {

struct Manifests {
  state::ClusterState state;
  translate::Output output;
  translate::Report report;  // what couldn't be read, then output.report
  std::size_t skipped_documents = 0;
  bool unreadable = false;  // a path can't be read, or nothing in it can
};

[[nodiscard]] Manifests read_manifests(const std::vector<std::string>& paths,
                                       const translate::Options& options, UnixSeconds now);

// "shop.yaml:12: error: Ingress shop/orders: <field>: <message> (<reason>) -> <remedy>".
[[nodiscard]] std::string finding_line(const translate::Finding& finding);

// --manifests, --json, and the controller's flags that translation needs.
void add_manifest_flags(OptionSet& options);
// `parsed`: of a set that add_manifest_flags() was called on. InvalidValue without --manifests.
[[nodiscard]] Result<Manifests> read_manifests(const ParsedOptions& parsed, UnixSeconds now);

// The shard of that kind and name, or null. Borrowed.
template <class Shard>
[[nodiscard]] const Shard* find_shard(const translate::Output& output, const std::string& name) {
  for (const config::Shard& shard : output.shards) {
    const auto* found = std::get_if<Shard>(&shard);
    if (found != nullptr && found->name == name) return found;
  }
  return nullptr;
}

// The proxy's form. What the proxy couldn't load is refused in it, as at its start.
class Loaded {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Loaded>> load(const translate::Output& output,
                                                            const Clock& clock);
  [[nodiscard]] const route::Snapshot& snapshot() const { return *snapshot_; }

 private:
  Loaded() : metrics_(1) {}
  server::RouteMetrics metrics_;  // which the snapshot's hosts refer to
  std::shared_ptr<const route::Snapshot> snapshot_;
};

}  // namespace handfast
