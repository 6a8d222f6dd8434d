// GenerationWriter::recover(): what lies in the state directory when the controller starts, and
// whether it is what its names say.

#include <algorithm>
#include <charconv>

#include "controller/publish/generation_writer.h"
#include "proxy/base/log.h"
#include "proxy/config/text.h"

namespace handfast::publish {
namespace {

// "000000000042"; nothing for what we did not write.
std::optional<std::uint64_t> try_generation(std::string_view name) {
  std::uint64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc{} || stop != end || number == 0) return std::nullopt;
  if (config::generation_directory(number) != "generations/" + std::string(name)) {
    return std::nullopt;
  }
  return number;
}

using Visit = std::function<Status(const std::string& path, bool is_directory)>;

// Calls `visit` for what lies exactly `depth` levels below `path`, and for files above that.
Status walk(FileSystem& files, const std::string& path, int depth, const Visit& visit) {
  const auto entries = files.list(path);
  if (!entries) return fail(entries.error());
  if (!*entries) return {};
  for (const FileSystem::Entry& entry : **entries) {
    const std::string child = path + "/" + entry.name;
    Status visited = depth > 1 && entry.is_directory ? walk(files, child, depth - 1, visit)
                                                     : visit(child, entry.is_directory);
    if (!visited) return visited;
  }
  return {};
}

}  // namespace

Status GenerationWriter::make_top_directories() {
  for (const char* directory : {"tmp", "generations", "shards", "tls"}) {
    if (Status made = files_.make_directory(directory); !made) return made;
  }
  return {};
}

Result<Manifest> GenerationWriter::read_generation(
    std::uint64_t generation, const std::function<void(const config::Shard&)>& observe) {
  const std::string path = config::generation_directory(generation) + "/index.yaml";
  const auto text = files_.read_file(path);
  if (!text) return fail(text.error());
  if (!*text) return fail(Reason::BadObject, path + " is missing");
  const auto index = config::parse_index(**text);
  if (!index) return within(path, index.error());
  if (index->generation != generation) {
    return fail(Reason::BadObject, path + " is another generation's");
  }

  Manifest manifest;
  manifest.default_certificate = index->default_certificate;
  for (std::size_t i = 0; i < index->buckets.size(); ++i) {
    const std::string& hash = index->buckets[i];
    if (hash.empty()) continue;
    const auto bucket_text = read_bucket(hash);
    if (!bucket_text) return fail(bucket_text.error());
    const config::Pack pack = config::split_pack(*bucket_text);
    const auto bucket = config::parse_bucket(pack.bucket);
    if (!bucket) return within(config::shard_path(hash), bucket.error());
    auto stored = std::make_shared<StoredBucket>();
    stored->hash = hash;
    for (const auto& [name, shard_hash] : *bucket) {
      const auto shard = read_shard(pack, shard_hash);
      if (!shard) return within(config::shard_path(shard_hash), shard.error());
      if (config::shard_name(*shard) != name) {
        return fail(Reason::BadObject, config::shard_path(shard_hash) + " is not " + name);
      }
      stored->shards.emplace(name, StoredShard{shard_hash, tls_directories(*shard)});
      if (observe) observe(*shard);
    }
    manifest.buckets[i] = std::move(stored);
  }
  return manifest;
}

Status GenerationWriter::check_directory(const std::string& directory) const {
  const auto entries = files_.list(directory);
  if (!entries) return fail(entries.error());
  if (!*entries) return fail(Reason::Io, directory + " is missing");
  std::map<std::string, std::string> texts;
  for (const FileSystem::Entry& entry : **entries) {
    auto bytes = files_.read_file(directory + "/" + entry.name);
    if (!bytes) return fail(bytes.error());
    if (!*bytes) return fail(Reason::Io, directory + "/" + entry.name + " is not a file");
    texts.emplace(entry.name, std::move(**bytes));
  }
  const std::map<std::string_view, std::string_view> hashed(texts.begin(), texts.end());
  if (!directory.ends_with("/" + config::content_hash(hashed).substr(0, 16))) {
    return fail(Reason::Io, directory + " does not have the content that its name says");
  }
  return {};
}

Status GenerationWriter::verify(const std::string& directory) {
  Status whole = check_directory(directory);
  if (!whole && directories_.erase(directory) != 0) damaged_.insert(directory);
  return whole;
}

bool GenerationWriter::is_damaged(const Manifest& manifest) const {
  if (damaged_.empty()) return false;
  const std::set<std::string> named = tls_directories(manifest);
  return std::any_of(damaged_.begin(), damaged_.end(),
                     [&named](const auto& directory) { return named.count(directory) != 0; });
}

Result<Manifest> GenerationWriter::with_directories(std::uint64_t generation, Manifest manifest) {
  std::set<std::string> missing = tls_directories(manifest);
  for (const std::string& directory : directories_) missing.erase(directory);
  if (missing.empty()) return manifest;
  if (generation != current_) {
    return fail(Reason::BadObject, "the files of " + *missing.begin() + " are damaged");
  }
  log(LogLevel::Warning, "files of the current generation are damaged and are written anew",
      {{"directories", std::to_string(missing.size())}, {"first", *missing.begin()}});
  damaged_ = std::move(missing);
  return manifest;
}

Status GenerationWriter::keep_readable(const std::set<std::uint64_t>& numbers,
                                       const std::function<void(const config::Shard&)>& observe) {
  std::set<std::uint64_t> wanted;
  if (!numbers.empty()) wanted.insert(*numbers.rbegin());
  const auto at_current = numbers.find(current_);
  if (at_current != numbers.end() && at_current != numbers.begin()) {
    wanted.insert(*std::prev(at_current));
  }
  if (current_ != 0) wanted.insert(current_);
  for (const std::uint64_t number : wanted) {
    auto manifest = read_generation(number, number == current_ ? observe : nullptr);
    if (manifest) manifest = with_directories(number, std::move(*manifest));
    if (manifest) {
      keep(number, std::move(*manifest));
      newest_ = number;
      if (number < current_) before_current_ = number;
      continue;
    }
    // An unreadable disk is for the operator; a damaged file is for us to write anew.
    if (manifest.error().reason == Reason::Io) return fail(manifest.error());
    const bool is_current = number == current_;
    log(is_current ? LogLevel::Error : LogLevel::Warning,
        is_current ? "the current generation is damaged and is made anew"
                   : "a damaged generation is dropped",
        {{"generation", std::to_string(number)}, {"detail", manifest.error().detail}});
    if (is_current) current_ = 0;
  }
  return {};
}

Status GenerationWriter::recover(const std::function<void(const config::Shard&)>& observe) {
  if (Status made = make_top_directories(); !made) return made;
  clear_temporary();
  remove_strays();

  std::set<std::uint64_t> numbers;
  const auto generations = files_.list("generations");
  if (!generations) return fail(generations.error());
  if (*generations) {
    for (const FileSystem::Entry& entry : **generations) {
      if (const auto number = try_generation(entry.name)) numbers.insert(*number);
    }
  }
  if (!numbers.empty()) last_number_ = *numbers.rbegin();

  const auto link = files_.read_symlink("current");
  if (!link) return fail(link.error());
  if (*link && (*link)->starts_with("generations/")) {
    current_ = try_generation(std::string_view(**link).substr(12)).value_or(0);
    last_number_ = std::max(last_number_, current_);
  }
  const std::uint64_t linked = current_;
  const Visit remember = [this](const std::string& path, bool is_directory) -> Status {
    if (is_directory && check_directory(path)) directories_.insert(path);
    return {};
  };
  if (Status walked = walk(files_, "tls", 3, remember); !walked) return walked;
  if (Status kept = keep_readable(numbers, observe); !kept) return kept;
  if (linked != current_) {
    // What a damaged generation names is not known, so nothing can be called unused, and nothing
    // whole.
    kept_.clear();
    users_.clear();
    directories_.clear();
    damaged_.clear();
    newest_ = before_current_ = 0;
    return {};
  }
  return remove_unreferenced();
}

Status GenerationWriter::remove_unreferenced() {
  std::set<std::string> needed;
  std::set<std::string> directories;
  for (const auto& [number, manifest] : kept_) {
    needed.insert(config::generation_directory(number));
    directories.merge(tls_directories(manifest));
    for (const auto& bucket : manifest.buckets) {
      if (bucket == nullptr) continue;
      needed.insert(config::shard_path(bucket->hash));
      for (const auto& [name, stored] : bucket->shards) {
        needed.insert(config::shard_path(stored.hash));
      }
    }
  }

  const Visit sweep = [&](const std::string& path, bool is_directory) -> Status {
    if (directories.count(path) != 0 || needed.count(path) != 0) return {};
    directories_.erase(path);
    remove_later(path, is_directory);
    return {};
  };
  if (Status swept = walk(files_, "generations", 1, sweep); !swept) return swept;
  if (Status swept = walk(files_, "shards", 2, sweep); !swept) return swept;
  if (Status swept = walk(files_, "tls", 3, sweep); !swept) return swept;
  remove_strays();
  return {};
}

}  // namespace handfast::publish
