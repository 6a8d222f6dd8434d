#pragma once
// Secrets and ConfigMaps that lie on disk as kubelet mounts them, a directory with one file for
// each key; internal to controller/source.
//
//   NAMESPACE/NAME.secret/tls.crt, …/tls.key     NAMESPACE/NAME.configmap/ca.crt
//
// The namespace is the directory around it; at the root of the manifests it is "default". Names
// that begin with '.' are passed over, and links followed, so that what kubelet swaps behind ..data
// is read whole: a volume that changes while it is read is read again.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/value.h"
#include "controller/source/file_tree.h"
#include "proxy/base/result.h"

namespace handfast::source {

// What the directory `name`, relative to the root, is; nothing: an ordinary one.
[[nodiscard]] std::optional<VolumeKey> volume_key(std::string_view name);

// One id for all files of the volume, which changes when any of them does. Failure: Reason::Io.
[[nodiscard]] Result<FileId> look_at_volume(const std::string& path, const WatchDirectory& watch);

struct ReadVolume {
  Result<objects::Value> document;  // as the API server would have it
  FileId id;
  bool is_settled = false;  // as in ReadFile
};

[[nodiscard]] ReadVolume read_volume(const std::string& path, const VolumeKey& key);

}  // namespace handfast::source
