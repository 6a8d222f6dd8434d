#pragma once
// The manifest files below a directory, as they are at one moment; internal to controller/source.
//
// Files named *.yaml, *.yml and *.json count, and directories named *.secret and *.configmap as one
// object each (volume.h). Names that begin with '.' are passed over, but links
// are followed wherever they lead: in a volume that kubelet mounts, x.yaml is a link to
// ..data/x.yaml and
// ..data a link to a directory that is swapped. A directory that is reached twice is read once.
//
// What can't be read is told apart from what isn't there: the one keeps its last good objects, the
// other has none.

#include <sys/stat.h>
#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/decode.h"
#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"

namespace handfast::source {

// Larger files are refused: a mistake, or an attack on the controller's memory.
inline constexpr std::int64_t kMaxFileBytes = std::int64_t{64} << 20;

// Two equal ones: the same file with the same content, unless it was written in the same tick of
// the kernel's clock (see ReadFile::is_settled).
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  friend bool operator==(const FileId&, const FileId&) = default;
};

// An object that lies on disk as a directory: see volume.h.
struct VolumeKey {
  std::string kind;
  std::string ns;
  std::string name;
};

struct FoundFile {
  std::string path;  // to open
  FileId id;
  std::optional<Error> problem;     // it is there and can't be read
  std::optional<VolumeKey> volume;  // it is no file
  bool is_plain = false;            // a regular file, and no link led to its name
};

struct FileTree {
  enum class Root : std::uint8_t { Listed, Missing, Unreadable };

  Root root = Root::Listed;
  // By the name to tell: relative to the root.
  std::map<std::string, FoundFile, std::less<>> files;
  // Beginnings of names ("sub/") whose directory could not be listed: nothing is known of them.
  std::vector<std::string> unknown;
  // Of directories; `key` is empty.
  std::vector<objects::Decoded::Problem> problems;
  // Directories that were listed, by path, and the beginning of the names below.
  std::map<std::string, std::string> listed;
  // Directories that are watched for the sake of links and volumes: what a change there means, a
  // new listing tells.
  std::set<std::string> ways;
};

// Told of each directory in which a change could change the result, before it is read, so that a
// watch begun there misses nothing.
using WatchDirectory = std::function<void(const std::string& path)>;

// Lists `root`, a directory, or a single file whatever its name if `allow_file`. Names are prefixed
// with `prefix`.
[[nodiscard]] FileTree list_manifests(const std::string& root, const std::string& prefix,
                                      bool allow_file, const WatchDirectory& watch);

// Looks again at one name, which is no link, in a directory that was listed. False: that isn't
// enough, everything has to be listed.
[[nodiscard]] bool look_again(FileTree& tree, const std::string& name, const std::string& path);

// What errno says.
[[nodiscard]] std::string describe(int error);

// Adds the names in an open directory, in order, but for those that begin with '.' and, if asked,
// files that are no manifests. Answers errno, 0 for good.
[[nodiscard]] int list_names(UniqueFd directory, bool manifests_only,
                             std::vector<std::string>& names);

// Tells of every directory in which a change could make `path` lead elsewhere.
void watch_way(const std::string& path, const WatchDirectory& watch);

// Whether a file of that id, read now, could have been changed since without another id.
[[nodiscard]] bool is_settled(const FileId& id);

[[nodiscard]] FileId id_of(const struct stat& info);

[[nodiscard]] bool is_manifest_name(std::string_view name);

struct ReadFile {
  Result<std::string> text;
  FileId id;
  // False: it was written just before, or not read, so an equal id proves nothing.
  bool is_settled = true;
};

// A file that changes while it is read is read again; one that goes on changing is refused.
[[nodiscard]] ReadFile read_file(const std::string& path);

}  // namespace handfast::source
