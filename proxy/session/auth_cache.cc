#include "proxy/session/auth_cache.h"

#include <utility>

namespace handfast::session {
namespace {

// What a list, a map and the allocator add to an entry, roughly.
constexpr std::size_t kOverhead = 256;

std::size_t size_of(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += sizeof text + text.size();
  return bytes;
}

}  // namespace

const AuthAnswer* AuthCache::find(std::string_view key, Monotonic now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  const Entries::iterator entry = found->second;
  if (now >= entry->until) {
    drop(entry);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return &entry->answer;
}

void AuthCache::put(std::string key, AuthAnswer answer, Monotonic until) {
  if (const auto known = by_key_.find(key); known != by_key_.end()) drop(known->second);
  const std::size_t bytes = kOverhead + key.size() + size_of(answer.values) +
                            size_of(answer.challenges) + size_of(answer.cookies);
  if (bytes > most_bytes_) return;
  while (bytes_ + bytes > most_bytes_) drop(std::prev(entries_.end()));
  entries_.push_front({std::move(key), std::move(answer), until, bytes});
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += bytes;
}

void AuthCache::drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace handfast::session
