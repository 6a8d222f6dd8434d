#pragma once
// The rules across fields that text.h promises, with the choice of where files may lie.
//
// Pure; thread-safe. Errors: Reason::BadObject, naming the field.

#include <cstdint>

#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::config {

enum class FilePaths : std::uint8_t {
  BelowTls,  // a generation's: "tls/<namespace>/<name>/<16 hex>/<file>"
  Relative,  // a standalone file's: anything below its directory
};

[[nodiscard]] Status validate(const Shard& shard, FilePaths paths);
[[nodiscard]] Status validate(const KeyPairRef& pair, FilePaths paths);

}  // namespace handfast::config
