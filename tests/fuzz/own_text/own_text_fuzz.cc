// The quick reader of our own YAML: what it takes, the library reads as the same tree. A bucket's
// file: whatever it is, its documents are parts of it.

#include <cstddef>
#include <span>
#include <string_view>

#include "proxy/base/check.h"
#include "proxy/config/document.h"
#include "proxy/config/own_text.h"
#include "proxy/config/pack.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  if (const auto own = config::try_read_own(text)) {
    const auto tree = config::parse_yaml(text);
    check(tree.has_value(), "the library refuses it");
    check(*own == *tree, "the library reads another tree");
  }
  const config::Pack pack = config::split_pack(text);
  std::size_t bytes = pack.bucket.size();
  for (const auto& [hash, shard] : pack.shards) bytes += shard.size();
  check(bytes <= text.size(), "more than there is");
}

}  // namespace handfast
