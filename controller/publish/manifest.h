#pragma once
// What a generation on disk consists of, by names and hashes only: no text, no key material.
//
// Buckets are immutable and shared between the manifests of successive generations, so that a
// generation that differs in one shard costs one bucket more, and two manifests are compared by
// 256 pointers.

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/model.h"

namespace handfast::publish {

struct StoredShard {
  std::string hash;
  std::vector<std::string> directories;  // below tls/, of the files that it names; sorted
  friend bool operator==(const StoredShard&, const StoredShard&) = default;
};

using StoredShards = std::map<std::string, StoredShard, std::less<>>;

struct StoredBucket {
  std::string hash;  // of the bucket's text
  StoredShards shards;
};

struct Manifest {
  // Null: no shard falls into that bucket.
  std::array<std::shared_ptr<const StoredBucket>, config::kBucketCount> buckets;
  std::optional<config::KeyPairRef> default_certificate;

  // Borrowed; null pointer if there is none.
  [[nodiscard]] const StoredShard* find(std::string_view shard_name) const;
};

// Whether the two say the same, but for number and time.
[[nodiscard]] bool is_same(const Manifest& a, const Manifest& b);

// "tls/shop/orders-tls/0123456789abcdef" of each file that the shard names; sorted, each once.
[[nodiscard]] std::vector<std::string> tls_directories(const config::Shard& shard);
[[nodiscard]] std::string directory_of(std::string_view path);
// Of everything that the manifest names.
[[nodiscard]] std::set<std::string> tls_directories(const Manifest& manifest);

// A manifest that may not be on disk yet. Its buckets are those of its base but where they say
// something else.
struct Draft {
  Manifest manifest;
  // Of shards, by hash: all of a new bucket that its base doesn't have under the same name.
  std::map<std::string, std::string, std::less<>> texts;
};

// A shard with its text and hash made.
struct PreparedShard {
  std::string name;
  StoredShard stored;
  std::string text;
};
[[nodiscard]] PreparedShard prepare(const config::Shard& shard);

// The first document of a bucket's file.
[[nodiscard]] std::string text_of(const StoredBucket& bucket);

// The draft of exactly `shards`. Of buckets that `base` doesn't have it has all texts, so that it
// can be written whatever became of the files.
[[nodiscard]] Draft make_draft(std::vector<PreparedShard> shards,
                               std::optional<config::KeyPairRef> default_certificate,
                               const Manifest& base);

// `base` with some shards put in, in the place of what they were, and others taken out.
[[nodiscard]] Draft change_shards(const Manifest& base, std::vector<PreparedShard> shards,
                                  const std::vector<std::string>& gone);

}  // namespace handfast::publish
