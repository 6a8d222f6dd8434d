#include "controller/publish/generation_writer.h"

#include <algorithm>
#include <optional>

#include "proxy/base/check.h"
#include "proxy/base/log.h"
#include "proxy/config/text.h"

namespace handfast::publish {
namespace {

constexpr char kTemporary[] = "tmp";

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

const Manifest& GenerationWriter::manifest(std::uint64_t generation) const {
  if (generation == 0) return empty_;
  const auto found = kept_.find(generation);
  check(found != kept_.end(), "asked for a generation that was collected");
  return found->second;
}

Result<std::string> GenerationWriter::read_hashed(const std::string& hash) const {
  const std::string path = config::shard_path(hash);
  auto text = files_.read_file(path);
  if (!text) return fail(text.error());
  if (!*text) return fail(Reason::BadObject, path + " is missing");
  if (config::sha256_hex(**text) != hash) {
    return fail(Reason::BadObject, path + " does not have the content that its name says");
  }
  return std::move(**text);
}

Result<std::string> GenerationWriter::read_bucket(const std::string& hash) const {
  const std::string path = config::shard_path(hash);
  auto text = files_.read_file(path);
  if (!text) return fail(text.error());
  if (!*text) return fail(Reason::BadObject, path + " is missing");
  if (config::sha256_hex(config::split_pack(**text).bucket) != hash) {
    return fail(Reason::BadObject, path + " does not have the content that its name says");
  }
  return std::move(**text);
}

Result<config::Shard> GenerationWriter::read_shard(const config::Pack& pack,
                                                   const std::string& hash) const {
  const auto packed = pack.shards.find(hash);
  if (packed != pack.shards.end()) return config::parse_shard(packed->second);
  const auto text = read_hashed(hash);
  if (!text) return fail(text.error());
  return config::parse_shard(*text);
}

Result<config::Shard> GenerationWriter::read_shard(const Manifest& manifest,
                                                   const std::string& name) const {
  const auto& bucket = manifest.buckets[config::bucket_of(name)];
  const StoredShard* stored = manifest.find(name);
  check(stored != nullptr, "asked for a shard that isn't there");
  const auto text = read_bucket(bucket->hash);
  if (!text) return fail(text.error());
  return read_shard(config::split_pack(*text), stored->hash);
}

Result<std::string> GenerationWriter::read_item_file(const std::string& path) const {
  auto bytes = files_.read_file(path);
  if (!bytes) return fail(bytes.error());
  if (!*bytes) return fail(Reason::BadObject, path + " is missing");
  return std::move(**bytes);
}

std::string GenerationWriter::temporary_name() {
  return std::string(kTemporary) + "/" + std::to_string(++temporary_count_);
}

Status GenerationWriter::write_directory(const std::string& directory, const FileSet& files) {
  const std::string prefix = directory + "/";
  auto file = files.lower_bound(prefix);
  if (file == files.end() || !file->first.starts_with(prefix)) {
    return fail(Reason::Internal, "nobody has the content of " + directory);
  }
  const std::string temporary = temporary_name();
  if (Status made = files_.make_directory(temporary); !made) return made;
  for (; file != files.end() && file->first.starts_with(prefix); ++file) {
    const std::string name = file->first.substr(prefix.size());
    check(name.find('/') == std::string::npos, "a tls directory has no subdirectories");
    if (Status written = write_item_file(temporary, directory, name, file->second); !written) {
      return written;
    }
  }

  const std::string object = directory_of(directory);
  for (const std::string& parent : {directory_of(object), object}) {
    if (Status made = files_.make_directory(parent); !made) return made;
  }
  if (Status moved = files_.rename(temporary, directory); !moved) {
    // A damaged or half removed one may stand there: out of the way, then once more.
    const std::string aside = temporary_name();
    if (!files_.rename(directory, aside)) return moved;
    remove_later(aside, true);
    if (Status again = files_.rename(temporary, directory); !again) return again;
  }
  placed_.emplace_back(directory, true);
  return {};
}

// One CA lies in the Secrets of thousands: on disk it is one file with as many names. Keys have
// one.
Status GenerationWriter::write_item_file(const std::string& temporary, const std::string& directory,
                                         const std::string& name, const std::string& bytes) {
  const std::string path = temporary + "/" + name;
  if (name != "ca.crt" && name != "ca.crl") return files_.write_file(path, bytes);
  std::string& twin = twins_[last_part(directory)];
  if (!twin.empty() && twin != directory) {
    // Somebody may have changed it, and its name says only a quarter of the hash.
    const std::string file = twin + "/" + name;
    const auto there = files_.read_file(file);
    if (there && *there == bytes && files_.link(file, path)) return {};
  }
  Status written = files_.write_file(path, bytes);
  if (written) twin = directory;
  return written;
}

Status GenerationWriter::write_text(const std::string& hash, const std::string& text) {
  const std::string path = config::shard_path(hash);
  const std::string temporary = temporary_name();
  if (Status made = files_.make_directory(directory_of(path)); !made) return made;
  if (Status written = files_.write_file(temporary, text); !written) return written;
  if (Status moved = files_.rename(temporary, path); !moved) return moved;
  placed_.emplace_back(path, false);
  return {};
}

// What the draft has no text of stands in the file of the bucket before, or in its own.
Status GenerationWriter::write_bucket(const Draft& draft, const StoredBucket& bucket,
                                      const StoredBucket* before) {
  std::string text = text_of(bucket);
  Result<std::string> old_text;
  std::optional<config::Pack> old;
  for (const auto& [name, stored] : bucket.shards) {
    const auto fresh = draft.texts.find(stored.hash);
    if (fresh != draft.texts.end()) {
      if (fresh->second.size() <= config::kMostPackedBytes) {
        config::append_to_pack(text, fresh->second);
      } else if (Status written = write_text(stored.hash, fresh->second); !written) {
        return written;
      }
      continue;
    }
    if (!old) {
      check(before != nullptr, "a draft lacks the text of a shard");
      old_text = read_bucket(before->hash);
      if (!old_text) return fail(old_text.error());
      old = config::split_pack(*old_text);
    }
    const auto packed = old->shards.find(stored.hash);
    if (packed != old->shards.end()) config::append_to_pack(text, packed->second);
  }
  return write_text(bucket.hash, text);
}

Status GenerationWriter::write_everything(const Draft& draft, const FileSet& files,
                                          std::uint64_t generation, std::int64_t now) {
  config::Index index;
  index.generation = generation;
  index.time = now;
  index.default_certificate = draft.manifest.default_certificate;
  std::set<std::string> wanted;
  if (index.default_certificate) {
    wanted.insert(directory_of(index.default_certificate->certificate));
  }
  const Manifest& base = manifest(newest_);
  for (std::size_t i = 0; i < index.buckets.size(); ++i) {
    const auto& bucket = draft.manifest.buckets[i];
    if (bucket == nullptr) continue;
    index.buckets[i] = bucket->hash;
    if (bucket == base.buckets[i] && damaged_.empty()) continue;  // all of it is there
    for (const auto& [name, stored] : bucket->shards) {
      wanted.insert(stored.directories.begin(), stored.directories.end());
    }
  }

  for (const std::string& directory : wanted) {
    if (has_directory(directory)) continue;
    if (Status written = write_directory(directory, files); !written) return written;
  }
  for (std::size_t i = 0; i < index.buckets.size(); ++i) {
    const StoredBucket* bucket = draft.manifest.buckets[i].get();
    if (bucket == nullptr || bucket == base.buckets[i].get()) continue;
    if (Status written = write_bucket(draft, *bucket, base.buckets[i].get()); !written) {
      return written;
    }
  }

  const std::string temporary = temporary_name();
  const std::string directory = config::generation_directory(generation);
  if (Status made = files_.make_directory(temporary); !made) return made;
  const std::string text = config::serialize(index);
  if (Status written = files_.write_file(temporary + "/index.yaml", text); !written) return written;
  if (Status synced = files_.sync_all(); !synced) return synced;
  if (Status moved = files_.rename(temporary, directory); !moved) return moved;
  placed_.emplace_back(directory, true);
  return files_.sync_directory(directory_of(directory));
}

Result<std::uint64_t> GenerationWriter::write(const Draft& draft, const FileSet& files,
                                              std::int64_t now) {
  remove_strays();
  placed_.clear();
  const std::uint64_t generation = ++last_number_;
  const Status written = write_everything(draft, files, generation, now);
  if (!written) {
    take_back();
    return fail(written.error());
  }
  for (const auto& [path, is_directory] : placed_) {
    if (is_directory && path.starts_with("tls/")) {
      directories_.insert(path);
      damaged_.erase(path);
    }
    strays_.erase(path);
  }
  placed_.clear();
  keep(generation, draft.manifest);
  newest_ = generation;
  return generation;
}

// Drops a failed generation whole: on a full disk this also makes room for the next attempt.
void GenerationWriter::take_back() {
  // A text may have been in place before, for an older generation that is still kept, and a damaged
  // directory is better whole and not synced than not at all.
  std::set<std::string> needed;
  for (const auto& [generation, manifest] : kept_) {
    needed.merge(tls_directories(manifest));
    for (const auto& bucket : manifest.buckets) {
      if (bucket == nullptr) continue;
      needed.insert(config::shard_path(bucket->hash));
      for (const auto& [name, stored] : bucket->shards) {
        needed.insert(config::shard_path(stored.hash));
      }
    }
  }
  for (const auto& [path, is_directory] : placed_) {
    if (needed.count(path) == 0) remove_later(path, is_directory);
  }
  placed_.clear();
  clear_temporary();
  remove_strays();
}

Status GenerationWriter::make_current(std::uint64_t generation) {
  check(kept_.count(generation) != 0, "a generation that was never written can't be current");
  if (generation == current_ && current_synced_) return {};
  if (generation != current_) {
    if (Status linked = link_current(generation); !linked) return linked;
  }
  // Until this is done, collect() must not run: after a power loss `current` may be the old one.
  if (Status synced = files_.sync_directory("."); !synced) return synced;
  current_synced_ = true;
  return {};
}

Status GenerationWriter::link_current(std::uint64_t generation) {
  const std::string temporary = temporary_name();
  const std::string target = config::generation_directory(generation);
  if (Status made = files_.make_symlink(target, temporary); !made) return made;
  if (Status moved = files_.rename(temporary, "current"); !moved) {
    remove_later(temporary, false);
    return moved;
  }
  // Two switches without a sync: the one that is surely on disk stays the one before.
  if (current_synced_) before_current_ = current_;
  current_ = generation;
  current_synced_ = false;
  return {};
}

void GenerationWriter::collect(const std::set<std::uint64_t>& keep) {
  if (!current_synced_) return;
  std::vector<std::uint64_t> dropped;
  for (const auto& [generation, manifest] : kept_) {
    const bool needed = generation == current_ || generation == newest_ ||
                        generation == before_current_ || keep.count(generation) != 0;
    if (!needed) dropped.push_back(generation);
  }
  for (const std::uint64_t generation : dropped) drop(generation);
  remove_strays();
}

bool GenerationWriter::is_kept(std::size_t number, const StoredBucket* bucket) const {
  return std::any_of(kept_.begin(), kept_.end(),
                     [&](const auto& kept) { return kept.second.buckets[number].get() == bucket; });
}

void GenerationWriter::count(const StoredBucket& bucket, int by) {
  for (const auto& [name, stored] : bucket.shards) {
    for (const std::string& directory : stored.directories) {
      const auto found = users_.try_emplace(directory, 0).first;
      found->second += by;
      if (found->second == 0) users_.erase(found);
    }
  }
}

void GenerationWriter::keep(std::uint64_t generation, Manifest manifest) {
  for (std::size_t i = 0; i < manifest.buckets.size(); ++i) {
    const StoredBucket* bucket = manifest.buckets[i].get();
    if (bucket != nullptr && !is_kept(i, bucket)) count(*bucket, 1);
  }
  kept_.emplace(generation, std::move(manifest));
}

void GenerationWriter::drop(std::uint64_t generation) {
  const auto found = kept_.find(generation);
  const Manifest gone = std::move(found->second);
  kept_.erase(found);
  for (std::size_t i = 0; i < gone.buckets.size(); ++i) {
    const StoredBucket* bucket = gone.buckets[i].get();
    if (bucket != nullptr && !is_kept(i, bucket)) count(*bucket, -1);
  }
  // Before what it names: a generation on disk should be whole.
  const std::string directory = config::generation_directory(generation);
  if (!remove_tree(files_, directory, true)) strays_.emplace(directory, true);

  std::set<std::string> candidates;
  if (gone.default_certificate) {
    candidates.insert(directory_of(gone.default_certificate->certificate));
  }
  for (std::size_t i = 0; i < gone.buckets.size(); ++i) {
    const auto& bucket = gone.buckets[i];
    if (bucket == nullptr) continue;
    const bool shared = std::any_of(kept_.begin(), kept_.end(), [&](const auto& kept) {
      const auto& other = kept.second.buckets[i];
      return other != nullptr && other->hash == bucket->hash;
    });
    if (shared) continue;
    remove_later(config::shard_path(bucket->hash), false);
    for (const auto& [name, stored] : bucket->shards) {
      if (is_referenced(i, name, stored.hash)) continue;
      remove_later(config::shard_path(stored.hash), false);
      candidates.insert(stored.directories.begin(), stored.directories.end());
    }
  }
  if (!candidates.empty()) collect_directories(candidates);
}

bool GenerationWriter::is_referenced(std::size_t bucket, const std::string& name,
                                     const std::string& hash) const {
  return std::any_of(kept_.begin(), kept_.end(), [&](const auto& kept) {
    const auto& other = kept.second.buckets[bucket];
    if (other == nullptr) return false;
    const auto found = other->shards.find(name);
    return found != other->shards.end() && found->second.hash == hash;
  });
}

void GenerationWriter::collect_directories(const std::set<std::string>& candidates) {
  const auto is_default = [this](const std::string& directory) {
    return std::any_of(kept_.begin(), kept_.end(), [&](const auto& kept) {
      const auto& certificate = kept.second.default_certificate;
      return certificate && directory_of(certificate->certificate) == directory;
    });
  };
  for (const std::string& directory : candidates) {
    if (users_.contains(directory) || is_default(directory)) continue;
    // From now on it counts as absent: half of it may be gone.
    directories_.erase(directory);
    damaged_.erase(directory);
    const auto twin = twins_.find(last_part(directory));
    if (twin != twins_.end() && twin->second == directory) twins_.erase(twin);
    remove_later(directory, true);
  }
}

void GenerationWriter::remove_later(const std::string& path, bool is_directory) {
  strays_.emplace(path, is_directory);
}

void GenerationWriter::remove_strays() {
  std::string first_failure;
  for (auto stray = strays_.begin(); stray != strays_.end();) {
    const auto& [path, is_directory] = *stray;
    if (const Status removed = remove_tree(files_, path, is_directory); !removed) {
      if (first_failure.empty()) first_failure = removed.error().detail;
      ++stray;
      continue;
    }
    if (path.starts_with("tls/")) {
      // Empty parents go too; those that are not empty stay, which is what the failure means.
      const std::string object = directory_of(path);
      if (files_.remove_directory(object)) (void)files_.remove_directory(directory_of(object));
    }
    stray = strays_.erase(stray);
  }
  if (!first_failure.empty()) {
    log(LogLevel::Warning, "files that no generation uses can't be removed yet",
        {{"count", std::to_string(strays_.size())}, {"detail", first_failure}});
  }
}

void GenerationWriter::clear_temporary() {
  const auto entries = files_.list(kTemporary);
  if (!entries || !*entries) return;
  for (const FileSystem::Entry& entry : **entries) {
    const std::string path = std::string(kTemporary) + "/" + entry.name;
    if (!remove_tree(files_, path, entry.is_directory)) strays_.emplace(path, entry.is_directory);
  }
}

}  // namespace handfast::publish
