#pragma once
// A bucket's file: the bucket, and behind it the small ones of the shards that it names, as YAML
// documents. On a tmpfs a file takes a page at least, and most shards are much smaller.
//
// The file is called by the hash of its first document; that names the shards by theirs. What
// isn't there lies in a file of its own.
//
// Pure functions; thread-safe. Ownership: a Pack borrows the text.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace handfast::config {

// Larger shards have files of their own: what changes beside them doesn't write them again.
inline constexpr std::size_t kMostPackedBytes = 16 << 10;

struct Pack {
  std::string_view bucket;
  std::map<std::string, std::string_view, std::less<>> shards;  // by sha256
};

// Any text: what is no document of ours has a hash that nobody asks for.
[[nodiscard]] Pack split_pack(std::string_view text);

// `text`: a shard, as serialize() makes it.
void append_to_pack(std::string& pack, std::string_view text);

}  // namespace handfast::config
