#pragma once
// Secrets and ConfigMaps that lie on disk as kubelet mounts them, a directory with one file for
// each key; internal to controller/source.
//
//   NAMESPACE/NAME.secret/tls.crt, …/tls.key     NAMESPACE/NAME.configmap/ca.crt
//
// The namespace is the directory around it; at the root of the manifests it is "default". Names
// that begin with '.' are passed over, and links followed, so that what kubelet swaps behind ..data
// is read whole: a volume that changes while it is read is read again. An empty one is an object
// that is gone if kubelet swapped it so, else one that is being filled. A directory in it is no
// key; whatever else is no file makes the volume one that can't be read.

#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/decode.h"
#include "controller/source/file_tree.h"
#include "proxy/base/result.h"

namespace handfast::source {

// What the directory `name`, relative to the root, is; nothing: an ordinary one.
[[nodiscard]] std::optional<VolumeKey> volume_key(std::string_view name);

// Of --crl-dir: an object that no cluster can hold, since it is in no namespace.
[[nodiscard]] VolumeKey crl_directory_key();

// The volume as a file of a tree: its id changes when any of its files does.
[[nodiscard]] FoundFile look_at_volume(const std::string& path, VolumeKey key,
                                       const WatchDirectory& watch);

struct ReadVolume {
  Result<objects::Decoded> decoded;  // as if the API server had sent it; failure: Reason::Io
  FileId id;
  bool is_settled = false;  // as in ReadFile
};

// `origin`: the name to tell.
[[nodiscard]] ReadVolume read_volume(const FoundFile& volume, const std::string& origin);

}  // namespace handfast::source
