#include "controller/publish/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <system_error>

namespace handfast::publish {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;
// No file of ours is larger than a Secret (1 MiB) or a bucket; this only bounds a surprise.
constexpr std::size_t kMostFileBytes = 64u << 20;

[[nodiscard]] tl::unexpected<Error> io_error(std::string_view what, const std::string& path,
                                             int error) {
  std::string detail = "can't ";
  detail.append(what).append(" ").append(path).append(": ");
  return fail(Reason::Io, detail.append(std::generic_category().message(error)));
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return io_error("write", path, written < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Status remove_tree(FileSystem& files, const std::string& path, bool is_directory) {
  if (!is_directory) return files.remove_file(path);
  const auto entries = files.list(path);
  if (!entries) return fail(entries.error());
  if (!*entries) return {};
  for (const FileSystem::Entry& entry : **entries) {
    Status removed = remove_tree(files, path + "/" + entry.name, entry.is_directory);
    if (!removed) return removed;
  }
  return files.remove_directory(path);
}

Result<std::unique_ptr<DirectoryFileSystem>> DirectoryFileSystem::open(const std::string& root) {
  if (::mkdir(root.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
    return io_error("make the state directory", root, errno);
  }
  UniqueFd fd{::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd) return io_error("open the state directory", root, errno);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return io_error("look at", root, errno);
  if (info.st_uid != ::geteuid()) {
    return fail(Reason::Io, "the state directory " + root + " belongs to another user");
  }
  if (::fchmod(fd.get(), kDirectoryMode) != 0) return io_error("make private", root, errno);

  static constexpr char kLock[] = "controller.lock";
  UniqueFd lock{::openat(fd.get(), kLock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode)};
  if (!lock) return io_error("open", root + "/" + kLock, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io_error("lock", root + "/" + kLock, errno);
    return fail(Reason::Io, "another controller writes to the state directory " + root);
  }
  return std::unique_ptr<DirectoryFileSystem>(
      new DirectoryFileSystem(std::move(fd), std::move(lock)));
}

Status DirectoryFileSystem::make_directory(const std::string& path) {
  if (::mkdirat(root_.get(), path.c_str(), kDirectoryMode) != 0) {
    if (errno == EEXIST) return {};
    return io_error("make the directory", path, errno);
  }
  // The umask may have taken bits away.
  if (::fchmodat(root_.get(), path.c_str(), kDirectoryMode, 0) != 0) {
    return io_error("make private", path, errno);
  }
  return {};
}

Status DirectoryFileSystem::write_file(const std::string& path, std::string_view bytes) {
  const UniqueFd fd{::openat(root_.get(), path.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kFileMode)};
  if (!fd) return io_error("make", path, errno);
  if (::fchmod(fd.get(), kFileMode) != 0) return io_error("make private", path, errno);
  return write_all(fd.get(), bytes, path);
}

Status DirectoryFileSystem::link(const std::string& file, const std::string& path) {
  if (::linkat(root_.get(), file.c_str(), root_.get(), path.c_str(), 0) != 0) {
    return io_error("link", path, errno);
  }
  return {};
}

Status DirectoryFileSystem::make_symlink(const std::string& target, const std::string& path) {
  if (::symlinkat(target.c_str(), root_.get(), path.c_str()) != 0) {
    return io_error("make the link", path, errno);
  }
  return {};
}

Status DirectoryFileSystem::rename(const std::string& from, const std::string& to) {
  if (::renameat(root_.get(), from.c_str(), root_.get(), to.c_str()) != 0) {
    return io_error("rename to", to, errno);
  }
  return {};
}

Status DirectoryFileSystem::remove_file(const std::string& path) {
  if (::unlinkat(root_.get(), path.c_str(), 0) != 0 && errno != ENOENT) {
    return io_error("remove", path, errno);
  }
  return {};
}

Status DirectoryFileSystem::remove_directory(const std::string& path) {
  if (::unlinkat(root_.get(), path.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return io_error("remove", path, errno);
  }
  return {};
}

Status DirectoryFileSystem::sync_all() {
  if (::syncfs(root_.get()) != 0) return io_error("sync", "the state directory", errno);
  return {};
}

Status DirectoryFileSystem::sync_directory(const std::string& path) {
  const UniqueFd fd{::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd || ::fsync(fd.get()) != 0) return io_error("sync", path, errno);
  return {};
}

Result<std::optional<std::vector<FileSystem::Entry>>> DirectoryFileSystem::list(
    const std::string& path) {
  const int fd =
      ::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT) return std::nullopt;
    return io_error("list", path, errno);
  }
  struct Closer {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Closer> directory{::fdopendir(fd)};
  if (!directory) {
    const int error = errno;
    ::close(fd);
    return io_error("list", path, error);
  }
  std::vector<Entry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat info{};
      is_directory =
          ::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
    }
    entries.push_back({std::string(name), is_directory});
  }
  if (errno != 0) return io_error("list", path, errno);
  return entries;
}

Result<std::optional<std::string>> DirectoryFileSystem::read_file(const std::string& path) {
  const UniqueFd fd{::openat(root_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    return io_error("read", path, errno);
  }
  std::string bytes;
  std::array<char, 16384> chunk{};
  while (bytes.size() <= kMostFileBytes) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("read", path, errno);
    if (got == 0) return bytes;
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return io_error("read", path, EFBIG);
}

Result<std::optional<std::string>> DirectoryFileSystem::read_symlink(const std::string& path) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlinkat(root_.get(), path.c_str(), target.data(), target.size());
  if (length < 0) {
    if (errno == ENOENT) return std::nullopt;
    return io_error("read the link", path, errno);
  }
  return std::string(target.data(), static_cast<std::size_t>(length));
}

}  // namespace handfast::publish
