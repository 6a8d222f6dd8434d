#include "controller/publish/manifest.h"

#include <algorithm>

#include "proxy/config/text.h"

namespace handfast::publish {
namespace {

using Buckets = std::array<StoredShards, config::kBucketCount>;

// Puts `shards` at `number`, sharing the bucket of `base` if it says the same.
void set_bucket(Draft& draft, std::size_t number, StoredShards shards, const Manifest& base) {
  const auto& before = base.buckets[number];
  if (shards.empty()) {
    draft.manifest.buckets[number] = nullptr;
  } else if (before != nullptr && before->shards == shards) {
    draft.manifest.buckets[number] = before;
  } else {
    auto bucket = std::make_shared<StoredBucket>();
    bucket->shards = std::move(shards);
    bucket->hash = config::sha256_hex(text_of(*bucket));
    draft.manifest.buckets[number] = std::move(bucket);
  }
}

}  // namespace

const StoredShard* Manifest::find(std::string_view shard_name) const {
  const auto& bucket = buckets[config::bucket_of(shard_name)];
  if (bucket == nullptr) return nullptr;
  const auto found = bucket->shards.find(shard_name);
  return found == bucket->shards.end() ? nullptr : &found->second;
}

bool is_same(const Manifest& a, const Manifest& b) {
  return a.default_certificate == b.default_certificate &&
         std::equal(a.buckets.begin(), a.buckets.end(), b.buckets.begin(),
                    [](const auto& x, const auto& y) {
                      return x == y || (x != nullptr && y != nullptr && x->hash == y->hash);
                    });
}

std::string directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(path.substr(0, slash == path.npos ? 0 : slash));
}

std::vector<std::string> tls_directories(const config::Shard& shard) {
  std::vector<std::string> directories;
  const auto add_files = [&directories](const std::vector<config::FileRef>& files) {
    for (const auto& file : files) directories.push_back(directory_of(file.path));
  };
  const auto add_client = [&add_files](const std::optional<config::ClientTls>& client) {
    if (!client) return;
    add_files(client->ca);
    add_files(client->crl);
  };
  const auto add_pair = [&directories](const config::KeyPairRef& pair) {
    directories.push_back(directory_of(pair.certificate));
    if (!pair.passphrases.empty()) directories.push_back(directory_of(pair.passphrases));
    if (!pair.ocsp.empty()) directories.push_back(directory_of(pair.ocsp));
  };
  if (const auto* host = std::get_if<config::VirtualHost>(&shard)) {
    if (host->certificate) add_pair(*host->certificate);
    for (const auto& pair : host->more_certificates) add_pair(pair);
    add_client(host->client);
  } else if (const auto* tls = std::get_if<config::UpstreamTls>(&shard)) {
    if (tls->identity) add_pair(*tls->identity);
    add_files(tls->ca);
    add_files(tls->crl);
    if (tls->candidate) {
      if (tls->candidate->identity) add_pair(*tls->candidate->identity);
      add_files(tls->candidate->ca);
    }
  }
  if (const auto* tcp = std::get_if<config::TcpPort>(&shard)) {
    if (tcp->certificate) add_pair(*tcp->certificate);
    add_client(tcp->client);
  }
  if (const auto* front = std::get_if<config::Front>(&shard)) add_files(front->ticket_keys);
  std::sort(directories.begin(), directories.end());
  directories.erase(std::unique(directories.begin(), directories.end()), directories.end());
  return directories;
}

std::set<std::string> tls_directories(const Manifest& manifest) {
  std::set<std::string> directories;
  if (manifest.default_certificate) {
    directories.insert(directory_of(manifest.default_certificate->certificate));
  }
  for (const auto& bucket : manifest.buckets) {
    if (bucket == nullptr) continue;
    for (const auto& [name, stored] : bucket->shards) {
      directories.insert(stored.directories.begin(), stored.directories.end());
    }
  }
  return directories;
}

std::string text_of(const StoredBucket& bucket) {
  config::Bucket names;
  for (const auto& [name, stored] : bucket.shards) {
    names.emplace_hint(names.end(), name, stored.hash);
  }
  return config::serialize(names);
}

PreparedShard prepare(const config::Shard& shard) {
  PreparedShard prepared;
  prepared.name = config::shard_name(shard);
  prepared.text = config::serialize(shard);
  prepared.stored.hash = config::sha256_hex(prepared.text);
  prepared.stored.directories = tls_directories(shard);
  return prepared;
}

Draft make_draft(std::vector<PreparedShard> shards,
                 std::optional<config::KeyPairRef> default_certificate, const Manifest& base) {
  Draft draft;
  draft.manifest.default_certificate = std::move(default_certificate);
  Buckets buckets;
  std::array<std::vector<PreparedShard>, config::kBucketCount> prepared;
  for (PreparedShard& shard : shards) {
    const std::size_t number = config::bucket_of(shard.name);
    buckets[number].insert_or_assign(shard.name, shard.stored);
    prepared[number].push_back(std::move(shard));
  }
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    set_bucket(draft, i, std::move(buckets[i]), base);
    if (draft.manifest.buckets[i] == base.buckets[i]) continue;
    for (PreparedShard& shard : prepared[i]) {
      draft.texts.emplace(shard.stored.hash, std::move(shard.text));
    }
  }
  return draft;
}

Draft change_shards(const Manifest& base, std::vector<PreparedShard> shards,
                    const std::vector<std::string>& gone) {
  Draft draft;
  draft.manifest = base;
  std::map<std::size_t, StoredShards> changed;
  const auto bucket_with = [&](const std::string& name) -> StoredShards& {
    const std::size_t number = config::bucket_of(name);
    const auto [found, added] = changed.try_emplace(number);
    if (added && base.buckets[number] != nullptr) found->second = base.buckets[number]->shards;
    return found->second;
  };
  for (const std::string& name : gone) {
    if (base.find(name) != nullptr) bucket_with(name).erase(name);
  }
  for (PreparedShard& shard : shards) {
    const StoredShard* before = base.find(shard.name);
    if (before != nullptr && *before == shard.stored) continue;
    draft.texts.emplace(shard.stored.hash, std::move(shard.text));
    bucket_with(shard.name).insert_or_assign(shard.name, std::move(shard.stored));
  }
  for (auto& [number, bucket] : changed) set_bucket(draft, number, std::move(bucket), base);
  return draft;
}

}  // namespace handfast::publish
