#include "controller/source/file_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <deque>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "controller/source/volume.h"
#include "proxy/base/unique_fd.h"

namespace handfast::source {
namespace {

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
// Well above a tick of the clock that stamps files (1 to 10 ms).
constexpr std::int64_t kSettledAfterNs = 50'000'000;
constexpr int kReadAttempts = 3;
constexpr int kMaxLinks = 40;  // as the kernel's

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * kNanosecondsPerSecond + time.tv_nsec;
}

bool is_settled_at(const timespec& now, const FileId& id) {
  return nanoseconds(now) - id.changed_ns > kSettledAfterNs;
}

bool is_absent(int error) { return error == ENOENT || error == ENOTDIR; }

std::string join(const std::string& directory, std::string_view name) {
  std::string path = directory;
  if (!path.empty() && !path.ends_with('/')) path += '/';
  path += name;
  return path;
}

std::optional<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size <= 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(size));
}

// Splits `path` at its slashes and puts the names in front of `names`.
void push_front(std::deque<std::string>& names, std::string_view path) {
  std::deque<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  names.insert(names.begin(), parts.begin(), parts.end());
}

}  // namespace

std::string describe(int error) { return std::generic_category().message(error); }

int list_names(UniqueFd directory, bool manifests_only, std::vector<std::string>& names) {
  const auto close = [](DIR* handle) { ::closedir(handle); };
  const std::unique_ptr<DIR, decltype(close)> handle(::fdopendir(directory.get()), close);
  if (!handle) return errno;
  (void)directory.release();  // closedir() closes it
  for (;;) {
    errno = 0;
    const dirent* const found = ::readdir(handle.get());
    if (found == nullptr) break;
    const std::string_view name(found->d_name);
    const bool may_count = !manifests_only || found->d_type != DT_REG || is_manifest_name(name);
    if (!name.starts_with('.') && may_count) names.emplace_back(name);
  }
  if (errno != 0) return errno;
  std::ranges::sort(names);
  return 0;
}

FileId id_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, static_cast<std::int64_t>(info.st_size),
          nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

// Tells of every directory on the way to `path` where a link stands, of the one that holds what
// they lead to, and of the one where the way ends too early.
void watch_way(const std::string& path, const WatchDirectory& watch) {
  std::deque<std::string> names;
  push_front(names, path);
  std::string at = path.starts_with('/') ? "/" : ".";
  for (int links = 0; !names.empty();) {
    const std::string name = std::move(names.front());
    names.pop_front();
    const std::string next = join(at, name);
    struct stat info{};
    if (::lstat(next.c_str(), &info) != 0) return watch(at);
    if (!S_ISLNK(info.st_mode)) {
      if (names.empty() && links > 0) watch(at);
      at = next;
      continue;
    }
    watch(at);
    const auto target = read_link(next);
    if (!target || ++links > kMaxLinks) return;
    if (target->starts_with('/')) at = "/";
    push_front(names, *target);
  }
}

namespace {

class Lister {
 public:
  Lister(FileTree& tree, const WatchDirectory& watch)
      : tree_(tree), watch_(watch), watch_ways_([&tree, &watch](const std::string& path) {
          tree.ways.insert(path);
          watch(path);
        }) {}

  // The root itself. Its name is the empty one, or `prefix` without its slash.
  void start(const std::string& root, const std::string& prefix, bool allow_file) {
    watch_way(root, watch_ways_);
    struct stat info{};
    if (::stat(root.c_str(), &info) != 0) {
      tree_.root = is_absent(errno) ? FileTree::Root::Missing : FileTree::Root::Unreadable;
      return tell(root, describe(errno));
    }
    if (allow_file && !S_ISDIR(info.st_mode)) return add_file(root, prefix, info, false);
    if (!S_ISDIR(info.st_mode)) {
      tree_.root = FileTree::Root::Missing;
      return tell(root, "is not a directory");
    }
    const bool needs_slash = !prefix.empty() && !prefix.ends_with('/');
    prefix_ = prefix.size() + (needs_slash ? 1 : 0);
    const int error = directory(root, needs_slash ? prefix + "/" : prefix);
    if (error != 0) {
      tree_.root = is_absent(error) ? FileTree::Root::Missing : FileTree::Root::Unreadable;
      tell(root, describe(error));
    }
  }

 private:
  using DirectoryId = std::pair<dev_t, ino_t>;

  void tell(const std::string& name, const std::string& why) {
    tree_.problems.push_back({{}, {name, 0}, {}, Error{Reason::Io, why}});
  }

  // Lists one directory and what is below. Answers errno if it can't be listed.
  int directory(const std::string& path, const std::string& prefix) {
    watch_(path);
    tree_.listed.emplace(path, prefix);
    DirectoryId id;
    std::vector<std::string> names;
    if (const int error = read_directory(path, id, names); error != 0) return error;
    if (std::ranges::find(way_, id) != way_.end()) {
      tell(prefix, "leads back to a directory above it and is not followed");
      return 0;
    }
    if (!visited_.insert(id).second) return 0;

    way_.push_back(id);
    for (const std::string& name : names) entry(join(path, name), prefix + name);
    way_.pop_back();
    return 0;
  }

  // A directory that was swapped for another while it was read may have been emptied by then, as
  // kubelet does it: what it seemed to lack would count as gone.
  static int read_directory(const std::string& path, DirectoryId& id,
                            std::vector<std::string>& names) {
    for (int n = 0; n < kReadAttempts; ++n) {
      UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      struct stat info{};
      if (!fd || ::fstat(fd.get(), &info) != 0) return errno;
      id = {info.st_dev, info.st_ino};
      names.clear();
      if (const int error = list_names(std::move(fd), /*manifests_only=*/true, names); error != 0)
        return error;
      if (::stat(path.c_str(), &info) != 0) return errno;
      if (id == DirectoryId{info.st_dev, info.st_ino}) return 0;
    }
    return EBUSY;
  }

  void entry(const std::string& path, const std::string& name) {
    struct stat info{};
    // Gone since the directory was listed.
    if (::lstat(path.c_str(), &info) != 0 && is_absent(errno)) return;
    const bool is_link = S_ISLNK(info.st_mode);
    if (is_link) watch_way(path, watch_ways_);
    if (::stat(path.c_str(), &info) != 0) {
      const int error = errno;
      if (is_absent(error)) {
        if (is_link && is_manifest_name(name)) tell(name, "is a link to nothing");
        return;
      }
      return unreadable(path, name, error);
    }
    if (!S_ISDIR(info.st_mode)) {
      if (is_manifest_name(name)) add_file(path, name, info, !is_link);
      return;
    }
    if (auto key = volume_key(std::string_view(name).substr(prefix_))) {
      tree_.files[name] = look_at_volume(path, std::move(*key), watch_ways_);
      return;
    }
    const int error = directory(path, name + "/");
    if (error == 0 || is_absent(error)) return;
    tell(name, "can't be listed: " + describe(error));
    tree_.unknown.push_back(name + "/");
  }

  void unreadable(const std::string& path, const std::string& name, int error) {
    if (is_manifest_name(name)) {
      tree_.files[name] =
          FoundFile{path, {}, Error{Reason::Io, "can't be read: " + describe(error)}, {}};
    } else {
      tell(name, "can't be followed: " + describe(error));
      tree_.unknown.push_back(name + "/");
    }
  }

  void add_file(const std::string& path, const std::string& name, const struct stat& info,
                bool is_plain) {
    FoundFile file{path, id_of(info), std::nullopt, std::nullopt, is_plain};
    if (!S_ISREG(info.st_mode)) file.problem = Error{Reason::Io, "is not a regular file"};
    tree_.files[name] = std::move(file);
  }

  FileTree& tree_;
  const WatchDirectory& watch_;
  const WatchDirectory watch_ways_;
  std::vector<DirectoryId> way_;  // from the root to here
  std::set<DirectoryId> visited_;
  std::size_t prefix_ = 0;  // bytes of a name that aren't relative to the root
};

// Nothing: the file changed while it was read.
std::optional<ReadFile> try_read(const std::string& path) {
  ReadFile out{std::string(), {}, true};
  const auto failed = [&](std::string why) {
    out.text = fail(Reason::Io, std::move(why));
    out.is_settled = false;
    return out;
  };
  timespec now{};
  (void)::clock_gettime(CLOCK_REALTIME, &now);
  // Not blocking: a pipe may stand where a file stood a moment ago.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat before{};
  if (!fd || ::fstat(fd.get(), &before) != 0) return failed("can't be read: " + describe(errno));
  if (!S_ISREG(before.st_mode)) return failed("is not a regular file");
  out.id = id_of(before);
  if (before.st_size > kMaxFileBytes) {
    out.text = fail(Reason::Io, "is larger than 64 MiB");
    return out;
  }

  std::string text;
  std::array<char, 65536> block{};
  for (;;) {
    const ssize_t size = ::read(fd.get(), block.data(), block.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("can't be read: " + describe(errno));
    if (size == 0) break;
    text.append(block.data(), static_cast<std::size_t>(size));
    if (static_cast<std::int64_t>(text.size()) > kMaxFileBytes) {
      return failed("is larger than 64 MiB");
    }
  }
  struct stat after{};
  if (::fstat(fd.get(), &after) != 0 || id_of(after) != out.id) return std::nullopt;
  out.is_settled = is_settled_at(now, out.id);
  out.text = std::move(text);
  return out;
}

}  // namespace

bool is_settled(const FileId& id) {
  timespec now{};
  (void)::clock_gettime(CLOCK_REALTIME, &now);
  return is_settled_at(now, id);
}

bool is_manifest_name(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

FileTree list_manifests(const std::string& root, const std::string& prefix, bool allow_file,
                        const WatchDirectory& watch) {
  FileTree tree;
  Lister(tree, watch).start(root, prefix, allow_file);
  return tree;
}

bool look_again(FileTree& tree, const std::string& name, const std::string& path) {
  const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
  if (last.starts_with('.')) return true;
  const auto known = tree.files.find(name);
  if (known != tree.files.end() && !known->second.is_plain) return false;
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (!is_absent(errno)) return false;
    if (known != tree.files.end()) tree.files.erase(known);
    return true;
  }
  if (!S_ISREG(info.st_mode)) return false;
  if (!is_manifest_name(name)) return true;
  tree.files.insert_or_assign(name, FoundFile{path, id_of(info), std::nullopt, std::nullopt, true});
  return true;
}

ReadFile read_file(const std::string& path) {
  for (int n = 0; n < kReadAttempts; ++n) {
    if (auto read = try_read(path)) return std::move(*read);
  }
  return {fail(Reason::Io, "is being written"), {}, false};
}

}  // namespace handfast::source
