#pragma once
// Reads generations from a state directory (or one file written by hand) and builds snapshots of
// them.
//
// Only buckets whose hash differs from what is served are read, and of those only the shards that
// changed. Every file's bytes must have the hash that names them: a torn or foreign file is a
// rejection, never half a configuration.
//
// Threading: the loader's.

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/control.h"
#include "proxy/config/pack.h"
#include "proxy/config/text.h"
#include "proxy/pki/pins.h"
#include "proxy/server/materials.h"
#include "proxy/server/route_metrics.h"
#include "proxy/server/snapshot_builder.h"

namespace handfast::server {

// What to do with a shard that can't be loaded: refuse the whole generation (a controller will make
// a better one), or serve the rest and let that shard answer 503 (at start, when nobody else may
// come).
enum class OnBadShard : std::uint8_t { RejectGeneration, RefuseShard };

// A config::Bucket in a third of its room: there are as many as shards, and a change asks for a
// few.
class PackedBucket {
 public:
  explicit PackedBucket(const config::Bucket& bucket);
  [[nodiscard]] config::Bucket unpack() const;

 private:
  struct Shard {
    pki::Sha256 hash{};
    std::uint32_t name_size = 0;
  };
  std::vector<Shard> shards_;
  std::string names_;  // one behind the other
};

class GenerationReader {
 public:
  // `fallback`: the certificate for clients that name no host of ours.
  GenerationReader(std::string state_directory, Materials& materials, RouteMetrics& metrics,
                   std::shared_ptr<const pki::Identity> fallback);

  struct Outcome {
    Publication publication;                  // snapshot null: rejected
    std::vector<config::Rejection> rejected;  // with RefuseShard: what is refused now
    std::size_t shards_read = 0;
  };
  // Generation `number`, as a change of `served` (null: from nothing).
  [[nodiscard]] Outcome read(std::uint64_t number, std::shared_ptr<const route::Snapshot> served,
                             OnBadShard on_bad);
  // The outcome's snapshot is served now: later reads compare with it.
  void accept();

  // The number that `current` names.
  [[nodiscard]] Result<std::uint64_t> current() const;

 private:
  Result<std::string> read_addressed(const std::string& hash) const;
  Status read_bucket(std::size_t number, const std::string& hash, SnapshotBuilder& builder,
                     OnBadShard on_bad, Outcome& outcome);
  Status read_shard(const std::string& name, const std::string& hash, const config::Pack& pack,
                    SnapshotBuilder& builder, OnBadShard on_bad, Outcome& outcome);

  std::string directory_;
  Materials& materials_;
  RouteMetrics& metrics_;
  std::shared_ptr<const pki::Identity> fallback_;
  // What is served, and what read() found last.
  struct Tree {
    std::array<std::string, config::kBucketCount> hashes;
    // Null: not read yet, or no shard.
    std::array<std::shared_ptr<const PackedBucket>, config::kBucketCount> buckets;
    // Shards that are served as refused: the next generation that names one reads it again, and
    // tells.
    std::set<std::string> refused;
  };
  Tree served_;
  Tree pending_;
};

// A configuration in one file, for a proxy without a controller. `generation` numbers the reloads.
[[nodiscard]] GenerationReader::Outcome read_standalone(
    const std::string& file, std::uint64_t generation, Materials& materials, RouteMetrics& metrics,
    std::shared_ptr<const pki::Identity> fallback, const route::Snapshot* served);

}  // namespace handfast::server
