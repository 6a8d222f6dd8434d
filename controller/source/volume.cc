#include "controller/source/volume.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/objects/value.h"

namespace handfast::source {
namespace {

constexpr int kReadAttempts = 3;
constexpr std::size_t kMaxKeys = 1'000;

// The names of its files, in order.
Result<std::vector<std::string>> list_keys(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::vector<std::string> keys;
  const int error =
      directory ? list_names(std::move(directory), /*manifests_only=*/false, keys) : errno;
  if (error != 0) return fail(Reason::Io, "can't be listed: " + describe(error));
  if (keys.size() > kMaxKeys) return fail(Reason::Io, "holds more than 1,000 files");
  return keys;
}

void add_to_id(FileId& all, std::string_view key, const FileId& one) {
  all.inode = all.inode * 31 + one.inode + std::hash<std::string_view>{}(key);
  all.device ^= one.device;
  all.size += one.size;
  all.modified_ns = std::max(all.modified_ns, one.modified_ns);
  all.changed_ns = std::max(all.changed_ns, one.changed_ns);
}

objects::Value scalar(std::string text) {
  objects::Value value;
  value.kind = objects::Value::Kind::Scalar;
  value.quoted = true;
  value.scalar = std::move(text);
  return value;
}

objects::Value map_of(std::vector<std::pair<std::string, objects::Value>> members) {
  objects::Value value;
  value.kind = objects::Value::Kind::Map;
  value.map = std::move(members);
  return value;
}

// Kubelet and those who do as it does show a volume's new content whole, by one rename.
bool is_swapped(const std::string& path) {
  struct stat info{};
  return ::lstat((path + "/..data").c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

using Files = std::vector<std::pair<std::string, std::string>>;

Result<Files> read_files(const std::string& path) {
  const auto keys = list_keys(path);
  if (!keys) return fail(keys.error());
  Files files;
  std::int64_t bytes = 0;
  for (const std::string& key : *keys) {
    const std::string file = path + "/" + key;
    struct stat info{};
    const bool is_there = ::stat(file.c_str(), &info) == 0;
    if (is_there && S_ISDIR(info.st_mode)) continue;
    // Not opened, since a device may do what it does. Nor passed over: it isn't that the key is
    // gone.
    if (is_there && !S_ISREG(info.st_mode)) return fail(Reason::Io, key + " is not a regular file");
    ReadFile read = read_file(file);
    if (!read.text) return fail(Reason::Io, key + " " + read.text.error().detail);
    bytes += static_cast<std::int64_t>(read.text->size());
    if (bytes > kMaxFileBytes) return fail(Reason::Io, "is larger than 64 MiB");
    files.emplace_back(key, *std::move(read.text));
  }
  // As between the two steps of who empties and fills it, which kubelet never shows.
  if (files.empty() && !is_swapped(path)) return fail(Reason::Io, "holds no file");
  return files;
}

objects::Decoded decode_object(const VolumeKey& volume, Files files, const std::string& origin) {
  using Members = std::vector<std::pair<std::string, objects::Value>>;
  Members data;
  for (auto& [key, bytes] : files) data.emplace_back(std::move(key), scalar(std::move(bytes)));
  Members metadata;
  metadata.emplace_back("name", scalar(volume.name));
  metadata.emplace_back("namespace", scalar(volume.ns));
  Members root;
  root.emplace_back("apiVersion", scalar("v1"));
  root.emplace_back("kind", scalar(volume.kind));
  root.emplace_back("metadata", map_of(std::move(metadata)));
  root.emplace_back(volume.kind == "Secret" ? "stringData" : "data", map_of(std::move(data)));
  return objects::decode(map_of(std::move(root)), origin);
}

objects::Decoded decode_crl_directory(Files files, const std::string& origin) {
  objects::ConfigMap lists;
  lists.meta.name = objects::kCrlDirectoryName;
  lists.meta.origin.file = origin;
  for (auto& [key, bytes] : files) lists.data[key].bytes = std::move(bytes);
  objects::Decoded decoded;
  decoded.objects.emplace_back(std::move(lists));
  return decoded;
}

Result<FileId> id_of_all(const std::string& path, const WatchDirectory& watch) {
  watch(path);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    return fail(Reason::Io, "can't be read: " + describe(errno));
  }
  FileId id = id_of(info);
  const auto keys = list_keys(path);
  if (!keys) return fail(keys.error());
  for (const std::string& key : *keys) {
    const std::string file = path + "/" + key;
    if (::lstat(file.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) watch_way(file, watch);
    // Gone since it was listed: the id says so too.
    if (::stat(file.c_str(), &info) != 0) info = {};
    add_to_id(id, key, id_of(info));
  }
  return id;
}

}  // namespace

std::optional<VolumeKey> volume_key(std::string_view name) {
  constexpr std::string_view kSecret = ".secret";
  constexpr std::string_view kConfigMap = ".configmap";
  const std::size_t slash = name.rfind('/');
  std::string_view last = slash == std::string_view::npos ? name : name.substr(slash + 1);
  std::string_view around = slash == std::string_view::npos ? "" : name.substr(0, slash);
  around = around.substr(around.rfind('/') + 1);  // npos + 1 is 0
  const bool is_secret = last.ends_with(kSecret);
  if (!is_secret && !last.ends_with(kConfigMap)) return std::nullopt;
  last.remove_suffix(is_secret ? kSecret.size() : kConfigMap.size());
  if (last.empty()) return std::nullopt;
  return VolumeKey{is_secret ? "Secret" : "ConfigMap",
                   around.empty() ? "default" : std::string(around), std::string(last)};
}

VolumeKey crl_directory_key() { return {"ConfigMap", {}, std::string(objects::kCrlDirectoryName)}; }

FoundFile look_at_volume(const std::string& path, VolumeKey key, const WatchDirectory& watch) {
  FoundFile file{path, {}, std::nullopt, std::move(key)};
  if (const auto id = id_of_all(path, watch)) {
    file.id = *id;
  } else {
    file.problem = id.error();
  }
  return file;
}

ReadVolume read_volume(const FoundFile& volume, const std::string& origin) {
  const WatchDirectory nobody = [](const std::string&) {};
  for (int n = 0; n < kReadAttempts; ++n) {
    const auto before = id_of_all(volume.path, nobody);
    if (!before) return {fail(before.error()), {}, false};
    const bool settled = is_settled(*before);
    auto files = read_files(volume.path);
    const auto after = id_of_all(volume.path, nobody);
    if (!after || *after != *before) continue;
    if (!files) return {fail(files.error()), *before, false};
    if (files->empty()) return {objects::Decoded{}, *before, settled};  // the object is gone
    return {volume.volume->ns.empty() ? decode_crl_directory(*std::move(files), origin)
                                      : decode_object(*volume.volume, *std::move(files), origin),
            *before, settled};
  }
  return {fail(Reason::Io, "is being written"), {}, false};
}

}  // namespace handfast::source
