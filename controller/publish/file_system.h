#pragma once
// What the generation writer asks of a file system: few operations, so that a test can let each one
// fail, or lose power at it, in turn.
//
// Paths are relative to one root, the state directory. Everything made is private: files 0600,
// directories 0700, whatever the umask. No operation follows a symbolic link in the last element.
//
// Threading: one thread's. Errors: Reason::Io, naming path and cause.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"

namespace handfast::publish {

class FileSystem {
 public:
  struct Entry {
    std::string name;
    bool is_directory = false;
  };

  virtual ~FileSystem() = default;

  // Also good if the directory is there already. The parent must be.
  [[nodiscard]] virtual Status make_directory(const std::string& path) = 0;
  // A new file, whole or an error (then a part may lie there).
  [[nodiscard]] virtual Status write_file(const std::string& path, std::string_view bytes) = 0;
  // Another name of a file.
  [[nodiscard]] virtual Status link(const std::string& file, const std::string& path) = 0;
  [[nodiscard]] virtual Status make_symlink(const std::string& target, const std::string& path) = 0;
  // Replaces a file or link at `to`; a directory only if it is empty.
  [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Status remove_file(const std::string& path) = 0;
  [[nodiscard]] virtual Status remove_directory(const std::string& path) = 0;

  // Makes everything durable that was done on this file system (syncfs(2)).
  [[nodiscard]] virtual Status sync_all() = 0;
  // Makes the names in one directory durable (fsync(2)).
  [[nodiscard]] virtual Status sync_directory(const std::string& path) = 0;

  // Nothing if the path isn't there.
  [[nodiscard]] virtual Result<std::optional<std::vector<Entry>>> list(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::optional<std::string>> read_file(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::optional<std::string>> read_symlink(
      const std::string& path) = 0;
};

// Removes a file or a whole directory; good if it isn't there.
[[nodiscard]] Status remove_tree(FileSystem& files, const std::string& path, bool is_directory);

// A directory of the machine. While the object lives it holds a lock in the directory, so that two
// controllers never write to the same one.
class DirectoryFileSystem final : public FileSystem {
 public:
  // Makes `root` if its parent is there, and makes it 0700. It must belong to this user.
  [[nodiscard]] static Result<std::unique_ptr<DirectoryFileSystem>> open(const std::string& root);

  Status make_directory(const std::string& path) override;
  Status write_file(const std::string& path, std::string_view bytes) override;
  Status link(const std::string& file, const std::string& path) override;
  Status make_symlink(const std::string& target, const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove_file(const std::string& path) override;
  Status remove_directory(const std::string& path) override;
  Status sync_all() override;
  Status sync_directory(const std::string& path) override;
  Result<std::optional<std::vector<Entry>>> list(const std::string& path) override;
  Result<std::optional<std::string>> read_file(const std::string& path) override;
  Result<std::optional<std::string>> read_symlink(const std::string& path) override;

 private:
  DirectoryFileSystem(UniqueFd root, UniqueFd lock)
      : root_(std::move(root)), lock_(std::move(lock)) {}

  UniqueFd root_;
  UniqueFd lock_;
};

}  // namespace handfast::publish
