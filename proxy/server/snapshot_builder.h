#pragma once
// From shards to a snapshot: parses and loads what changed, shares everything else with the
// snapshot before (cost follows the change).
//
// Threading: the loader's. Errors: per shard, so that one bad shard can be told and replaced.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "proxy/config/control.h"
#include "proxy/config/model.h"
#include "proxy/route/snapshot.h"
#include "proxy/server/materials.h"
#include "proxy/server/route_metrics.h"

namespace handfast::server {

// What is different from the snapshot before.
struct Changes {
  std::unordered_set<std::string> policies;  // names of UpstreamTls added, changed or gone
  std::vector<std::string> services_put;     // added or replaced
  std::vector<std::string> services_gone;
  bool clients = false;  // some host's tls::ClientPolicy
};

struct Publication {
  std::shared_ptr<const route::Snapshot> snapshot;
  std::shared_ptr<const Changes> changes;
};

class SnapshotBuilder {
 public:
  // Starts from `base`, which may be null. Both references must outlive the builder's products.
  SnapshotBuilder(std::shared_ptr<const route::Snapshot> base, Materials& materials,
                  RouteMetrics& metrics);

  // Puts or replaces a shard. A failure leaves the snapshot without the change. A host whose
  // certificate, or whose clients' CA, can't be loaded is put without it, and `rejection` says so.
  Status put(const config::Shard& shard, config::Rejection& rejection);
  // `name` as in a bucket: "host/…", "service/…", "tls/…", …
  void remove(std::string_view shard_name);
  void set_default_certificate(std::shared_ptr<const pki::Identity> certificate);

  // Counts what `served` had and this snapshot hasn't as gone: for a builder without a base.
  void note_gone(const route::Snapshot& served);

  // Ends the building.
  [[nodiscard]] Publication finish(std::uint64_t generation);

 private:
  route::SnapshotBucket& bucket(std::string_view entry_name);
  Status put_host(const config::VirtualHost& host, config::Rejection& rejection);
  void put_certificate(const config::KeyPairRef& pair, std::string_view field,
                       route::HostEntry& entry, config::Rejection& rejection);
  void put_client_policy(const config::VirtualHost& host, route::HostEntry& entry,
                         config::Rejection& rejection);
  void note_client_change(const tls::ClientPolicy* before, const tls::ClientPolicy* after);
  Status put_service(const config::Service& service);
  Status put_tcp(const config::TcpPort& tcp, config::Rejection& rejection);
  Status put_front(const config::Front& front, config::Rejection& rejection);
  Status put_policy(const config::UpstreamTls& tls, config::Rejection& rejection);

  std::shared_ptr<route::Snapshot> snapshot_;
  std::array<std::shared_ptr<route::SnapshotBucket>, config::kBucketCount> changed_;
  std::shared_ptr<Changes> changes_ = std::make_shared<Changes>();
  Materials& materials_;
  RouteMetrics& metrics_;
};

// The run-time form of a policy. On failure `rejection` names field and file.
[[nodiscard]] Result<std::shared_ptr<const tls::UpstreamPolicy>> make_policy(
    const config::UpstreamTls& tls, Materials& materials, config::Rejection& rejection);

// The shard as it answers when it can't be loaded: refused, with the reason of the rejection.
[[nodiscard]] config::Shard refuse(config::Shard shard, const config::Rejection& rejection);

}  // namespace handfast::server
