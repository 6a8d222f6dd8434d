#include "proxy/server/generation_reader.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::server {
namespace {

constexpr std::size_t kMaxTextBytes = 8 << 20;
// With the shards that stand in it.
constexpr std::size_t kMaxBucketBytes = 256 << 20;
// In the place of a bucket's hash: it is other than any that comes.
constexpr const char* kNoHash = "-";

config::Rejection whole(Error error, std::string file = {}) {
  return {.shard = {},
          .field = {},
          .file = std::move(file),
          .reason = error.reason,
          .detail = std::move(error.detail)};
}

Result<std::shared_ptr<const pki::Identity>> default_certificate(
    const std::optional<config::KeyPairRef>& files, Materials& materials,
    const std::shared_ptr<const pki::Identity>& fallback) {
  if (!files) return fallback;
  auto loaded = materials.identity(*files);
  if (!loaded) return fail(loaded.error());
  return std::move(loaded->object);
}

}  // namespace

PackedBucket::PackedBucket(const config::Bucket& bucket) {
  shards_.reserve(bucket.size());
  for (const auto& [name, hash] : bucket) {
    const auto digest = pki::parse_sha256(hash);
    check(digest.has_value(), "config::parse_bucket() has read the hash");
    shards_.push_back({*digest, static_cast<std::uint32_t>(name.size())});
    names_ += name;
  }
  names_.shrink_to_fit();
}

config::Bucket PackedBucket::unpack() const {
  config::Bucket bucket;
  std::size_t at = 0;
  for (const Shard& shard : shards_) {
    bucket.emplace_hint(bucket.end(), names_.substr(at, shard.name_size),
                        pki::sha256_text(shard.hash));
    at += shard.name_size;
  }
  return bucket;
}

GenerationReader::GenerationReader(std::string state_directory, Materials& materials,
                                   RouteMetrics& metrics,
                                   std::shared_ptr<const pki::Identity> fallback)
    : directory_(std::move(state_directory)),
      materials_(materials),
      metrics_(metrics),
      fallback_(std::move(fallback)) {}

Result<std::uint64_t> GenerationReader::current() const {
  std::array<char, 256> target{};
  const std::string link = directory_ + "/current";
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  if (length <= 0) return fail(Reason::Io, link + ": there is no generation yet");
  const std::string_view text(target.data(), static_cast<std::size_t>(length));
  const std::string_view digits = text.substr(text.rfind('/') + 1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return fail(Reason::BadObject, link + ": '" + std::string(text) + "' names no generation");
  }
  return number;
}

Result<std::string> GenerationReader::read_addressed(const std::string& hash) const {
  const std::string path = config::shard_path(hash);
  auto bytes = read_file(directory_ + "/" + path, kMaxTextBytes);
  if (!bytes) return fail(bytes.error());
  if (config::sha256_hex(*bytes) != hash)
    return fail(Reason::BadObject, path + ": its content isn't what its name says");
  return bytes;
}

GenerationReader::Outcome GenerationReader::read(std::uint64_t number,
                                                 std::shared_ptr<const route::Snapshot> served,
                                                 OnBadShard on_bad) {
  Outcome outcome;
  const std::string path = config::generation_directory(number) + "/index.yaml";
  const auto text = read_file(directory_ + "/" + path, kMaxTextBytes);
  if (!text) {
    outcome.rejected.push_back(whole(text.error(), path));
    return outcome;
  }
  const auto index = config::parse_index(*text);
  if (!index) {
    outcome.rejected.push_back(whole(index.error(), path));
    return outcome;
  }
  if (index->generation != number) {
    outcome.rejected.push_back(
        whole({Reason::BadObject, "the index says another generation"}, path));
    return outcome;
  }
  auto certificate = default_certificate(index->default_certificate, materials_, fallback_);
  if (!certificate) {
    outcome.rejected.push_back({.shard = {},
                                .field = "default_certificate",
                                .file = index->default_certificate->certificate,
                                .reason = certificate.error().reason,
                                .detail = certificate.error().detail});
  }

  if (served == nullptr) served_ = Tree{};
  pending_ = served_;
  SnapshotBuilder builder(std::move(served), materials_, metrics_);
  builder.set_default_certificate(certificate ? *certificate : fallback_);
  bool complete = true;
  for (std::size_t i = 0; i < config::kBucketCount; ++i) {
    if (index->buckets[i] == served_.hashes[i]) continue;
    if (const Status read = read_bucket(i, index->buckets[i], builder, on_bad, outcome); !read) {
      outcome.rejected.push_back(whole(read.error(), path));
      complete = false;
    }
  }
  if (complete && (outcome.rejected.empty() || on_bad == OnBadShard::RefuseShard)) {
    outcome.publication = builder.finish(number);
  }
  return outcome;
}

Status GenerationReader::read_bucket(std::size_t number, const std::string& hash,
                                     SnapshotBuilder& builder, OnBadShard on_bad,
                                     Outcome& outcome) {
  config::Bucket bucket;
  Result<std::string> text;
  config::Pack pack;
  if (!hash.empty()) {
    const std::string path = config::shard_path(hash);
    text = read_file(directory_ + "/" + path, kMaxBucketBytes);
    if (!text) return fail(text.error());
    pack = config::split_pack(*text);
    if (config::sha256_hex(pack.bucket) != hash) {
      return fail(Reason::BadObject, path + ": its content isn't what its name says");
    }
    auto parsed = config::parse_bucket(pack.bucket);
    if (!parsed) return within(path, parsed.error());
    bucket = std::move(*parsed);
  }
  config::Bucket before;
  if (served_.buckets[number] != nullptr) before = served_.buckets[number]->unpack();
  for (const auto& [name, shard_hash] : before) {
    if (bucket.contains(name)) continue;
    builder.remove(name);
    pending_.refused.erase(name);
  }
  pending_.hashes[number] = hash;
  for (const auto& [name, shard_hash] : bucket) {
    const auto old = before.find(name);
    const bool is_served =
        old != before.end() && old->second == shard_hash && !served_.refused.contains(name);
    if (is_served) continue;
    const std::size_t rejected = outcome.rejected.size();
    if (const Status read = read_shard(name, shard_hash, pack, builder, on_bad, outcome); !read)
      return read;
    pending_.refused.erase(name);
    if (outcome.rejected.size() == rejected) continue;
    pending_.refused.insert(name);
    pending_.hashes[number] = kNoHash;
  }
  pending_.buckets[number] =
      bucket.empty() ? nullptr : std::make_shared<const PackedBucket>(bucket);
  return {};
}

Status GenerationReader::read_shard(const std::string& name, const std::string& hash,
                                    const config::Pack& pack, SnapshotBuilder& builder,
                                    OnBadShard on_bad, Outcome& outcome) {
  std::vector<config::Rejection>& rejected = outcome.rejected;
  ++outcome.shards_read;
  const std::string path = config::shard_path(hash);
  const auto packed = pack.shards.find(hash);
  const auto text = packed != pack.shards.end() ? Result<std::string>(std::string(packed->second))
                                                : read_addressed(hash);
  if (!text) {
    rejected.push_back({.shard = name,
                        .field = {},
                        .file = path,
                        .reason = text.error().reason,
                        .detail = text.error().detail});
    return on_bad == OnBadShard::RefuseShard ? fail(text.error()) : Status{};
  }
  const auto shard = config::parse_shard(*text);
  if (!shard || config::shard_name(*shard) != name) {
    const Error error =
        shard ? Error{Reason::BadObject, "the shard says another name"} : shard.error();
    rejected.push_back(
        {.shard = name, .field = {}, .file = path, .reason = error.reason, .detail = error.detail});
    return on_bad == OnBadShard::RefuseShard ? fail(error) : Status{};
  }
  config::Rejection rejection;
  const Status put = builder.put(*shard, rejection);
  if (put && rejection.shard.empty()) return {};
  rejected.push_back(rejection);
  if (!put && on_bad == OnBadShard::RefuseShard) {
    config::Rejection again;
    return builder.put(refuse(*shard, rejection), again);
  }
  return {};
}

void GenerationReader::accept() {
  served_ = std::move(pending_);
  pending_ = Tree{};
  materials_.collect();
}

GenerationReader::Outcome read_standalone(const std::string& file, std::uint64_t generation,
                                          Materials& materials, RouteMetrics& metrics,
                                          std::shared_ptr<const pki::Identity> fallback,
                                          const route::Snapshot* served) {
  GenerationReader::Outcome outcome;
  const auto text = read_file(file, kMaxTextBytes);
  if (!text) {
    outcome.rejected.push_back(whole(text.error(), file));
    return outcome;
  }
  const auto parsed = config::parse_standalone(*text);
  if (!parsed) {
    outcome.rejected.push_back(whole(parsed.error(), file));
    return outcome;
  }
  materials.forget();
  auto certificate = default_certificate(parsed->default_certificate, materials, fallback);
  if (!certificate) {
    outcome.rejected.push_back(
        whole(within("default_certificate", certificate.error()).value(), file));
    return outcome;
  }
  SnapshotBuilder builder(nullptr, materials, metrics);
  builder.set_default_certificate(std::move(*certificate));
  for (const config::Shard& shard : parsed->shards) {
    config::Rejection rejection;
    if (!builder.put(shard, rejection)) outcome.rejected.push_back(rejection);
  }
  if (!outcome.rejected.empty()) return outcome;
  if (served != nullptr) builder.note_gone(*served);
  outcome.publication = builder.finish(generation);
  return outcome;
}

}  // namespace handfast::server
