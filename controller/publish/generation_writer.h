#pragma once
// Writes generations into the state directory (docs/generation-format.md) and collects what none of
// them needs any more.
//
//   recover() -> write() -> make_current() -> collect() -> write() -> …
//
// Every new file is written in tmp/ and renamed into place, and nothing in place is ever changed:
// buckets, with the small shards in them, and large shards are called by their hash, tls
// directories by the hash of their content. One
// syncfs(2) comes before the generation's directory gets its name, and `current` is one rename. So
// whatever is killed at whatever moment, `current` names a generation that is whole.
//
// What somebody else damaged is found by those hashes: at recover(), and by verify() when the proxy
// rejects a file. A damaged tls directory counts as not on disk, and the next write() replaces it.
//
// What a power loss may leave torn is only what no named generation uses; recover() removes that,
// and what a crash left in tmp/.
//
// It remembers names and hashes; payloads of Secrets pass through write() and are not kept.
//
// Threading: one thread's. Ownership: borrows the file system. Errors: Reason::Io; what write()
// had done is taken back then, and the next one starts afresh.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controller/publish/file_system.h"
#include "controller/publish/manifest.h"
#include "proxy/base/result.h"
#include "proxy/config/pack.h"

namespace handfast::publish {

// Path below the state directory -> bytes.
using FileSet = std::map<std::string, std::string>;

class GenerationWriter {
 public:
  explicit GenerationWriter(FileSystem& files) : files_(files) {}

  // Once, first: reads what is there, numbers on after the highest, cleans up. Calls `observe` with
  // each shard of the current generation. A current generation that can't be read (a damaged disk)
  // is logged and treated as none; nothing is removed then. One that lacks files of its items stays
  // what it is: is_damaged().
  [[nodiscard]] Status recover(const std::function<void(const config::Shard&)>& observe);

  // The newest generation written, and the one that `current` names; 0: none.
  [[nodiscard]] std::uint64_t newest() const { return newest_; }
  [[nodiscard]] std::uint64_t current() const { return current_; }
  // Of a generation that is kept; an empty one for 0.
  [[nodiscard]] const Manifest& manifest(std::uint64_t generation) const;

  // Whether the files of a tls directory are on disk, whole as far as is known.
  [[nodiscard]] bool has_directory(const std::string& directory) const {
    return directories_.count(directory) != 0;
  }

  // Looks whether the files of a tls directory are what its name says.
  [[nodiscard]] Status verify(const std::string& directory);
  // Whether something that the manifest names is known to be damaged.
  [[nodiscard]] bool is_damaged(const Manifest& manifest) const;

  // Reads one shard of a kept generation back. Precondition: the manifest has it.
  [[nodiscard]] Result<config::Shard> read_shard(const Manifest& manifest,
                                                 const std::string& name) const;

  // A file of a tls directory that is on disk.
  [[nodiscard]] Result<std::string> read_item_file(const std::string& path) const;

  // Writes a new generation and answers its number. `files` must hold the files of every tls
  // directory that isn't on disk; others may be there and are not looked at.
  [[nodiscard]] Result<std::uint64_t> write(const Draft& draft, const FileSet& files,
                                            std::int64_t now);

  // Lets `current` name a generation that was written. Nothing to do if it does.
  [[nodiscard]] Status make_current(std::uint64_t generation);

  // Removes every generation but `current`, the newest, the one that was current before, and those
  // in `keep`; then the shards and tls directories that only the removed ones used, keys included.
  // What can't be removed is tried again next time.
  void collect(const std::set<std::uint64_t>& keep);

 private:
  [[nodiscard]] Status make_top_directories();
  [[nodiscard]] Result<Manifest> read_generation(
      std::uint64_t generation, const std::function<void(const config::Shard&)>& observe);
  [[nodiscard]] Status keep_readable(const std::set<std::uint64_t>& numbers,
                                     const std::function<void(const config::Shard&)>& observe);
  [[nodiscard]] Status check_directory(const std::string& directory) const;
  [[nodiscard]] Result<Manifest> with_directories(std::uint64_t generation, Manifest manifest);
  [[nodiscard]] Status remove_unreferenced();
  [[nodiscard]] Result<std::string> read_hashed(const std::string& hash) const;
  // The file of a bucket, whose first document has that hash.
  [[nodiscard]] Result<std::string> read_bucket(const std::string& hash) const;
  [[nodiscard]] Result<config::Shard> read_shard(const config::Pack& pack,
                                                 const std::string& hash) const;

  [[nodiscard]] Status write_directory(const std::string& directory, const FileSet& files);
  [[nodiscard]] Status write_item_file(const std::string& temporary, const std::string& directory,
                                       const std::string& name, const std::string& bytes);
  [[nodiscard]] Status write_text(const std::string& hash, const std::string& text);
  [[nodiscard]] Status write_bucket(const Draft& draft, const StoredBucket& bucket,
                                    const StoredBucket* before);
  [[nodiscard]] Status write_everything(const Draft& draft, const FileSet& files,
                                        std::uint64_t generation, std::int64_t now);
  [[nodiscard]] std::string temporary_name();
  void clear_temporary();

  [[nodiscard]] Status link_current(std::uint64_t generation);
  void take_back();
  void keep(std::uint64_t generation, Manifest manifest);
  // One bucket more or less that is kept, for how many use a tls directory.
  void count(const StoredBucket& bucket, int by);
  [[nodiscard]] bool is_kept(std::size_t number, const StoredBucket* bucket) const;
  void drop(std::uint64_t generation);
  void collect_directories(const std::set<std::string>& candidates);
  [[nodiscard]] bool is_referenced(std::size_t bucket, const std::string& name,
                                   const std::string& hash) const;
  void remove_later(const std::string& path, bool is_directory);
  void remove_strays();

  FileSystem& files_;
  const Manifest empty_;
  std::map<std::uint64_t, Manifest> kept_;
  std::set<std::string> directories_;  // tls directories on disk that are whole
  // How many shards of kept buckets name a tls directory; a bucket that several generations share
  // counts once.
  std::unordered_map<std::string, int> users_;
  // By the last part of its name, a tls directory for others to be linked to.
  std::unordered_map<std::string, std::string> twins_;
  std::set<std::string> damaged_;                     // those that a kept generation lacks
  std::map<std::string, bool> strays_;                // to be removed; value: is a directory
  std::vector<std::pair<std::string, bool>> placed_;  // by the write() that is under way
  std::uint64_t newest_ = 0;
  std::uint64_t current_ = 0;
  std::uint64_t before_current_ = 0;
  bool current_synced_ = true;
  std::uint64_t last_number_ = 0;
  std::uint64_t temporary_count_ = 0;
};

}  // namespace handfast::publish
