#pragma once
// What objects have in common: their name, where they were read, and how values in them are kept.

#include <cstdint>
#include <string>

#include "controller/objects/text_map.h"
#include "proxy/base/rare.h"

namespace handfast::objects {

// Where an object was read: for findings. `file` relative to the manifests directory as given.
struct Origin {
  RareText file;
  int line = 0;
  friend bool operator==(const Origin&, const Origin&) = default;
};

struct Meta {
  std::string ns;  // "default" if the manifest names none; empty for cluster-scoped kinds
  std::string name;
  std::string uid;
  // Of the spec, counted by the API server; 0: a file of a directory. This and the next of an
  // Ingress or a policy alone.
  std::int64_t generation = 0;
  // RFC 3339 in UTC with whole seconds, "2026-03-01T12:00:00Z", or empty: comparing the text
  // compares the times.
  RareText creation_timestamp;
  // Of an Ingress. Nobody asks for those of other kinds: in a cluster they are as large as the
  // rest, and some change with every touch of an object.
  TextMap annotations;
  TextMap labels;
  Origin origin;
  friend bool operator==(const Meta&, const Meta&) = default;
};

// One entry of a Secret or ConfigMap. A value that could not be decoded (broken base64) is kept as
// bad with the sentence: it is present, so it must not pass for absent.
struct DataValue {
  std::string bytes;
  RareText problem;  // not empty: undecodable, bytes is empty
  friend bool operator==(const DataValue&, const DataValue&) = default;
};

}  // namespace handfast::objects
