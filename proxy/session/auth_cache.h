#pragma once
// What auth servers answered, kept for as long as a route says (auth-cache-key).
//
// Keys are digests of whatever tells requests apart, never the credentials themselves. Bounded in
// bytes: the entry that was used longest ago goes first.
//
// Threading: one worker's.

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"

namespace handfast::session {

// An answer that decides. Values are those of config::ExternalAuth::response_headers, in their
// order; empty: not there.
struct AuthAnswer {
  int status = 0;
  std::vector<std::string> values;
  std::vector<std::string> challenges;  // WWW-Authenticate
  std::vector<std::string> cookies;     // Set-Cookie
};

class AuthCache {
 public:
  static constexpr std::size_t kMostBytes = 4 * 1024 * 1024;

  explicit AuthCache(std::size_t most_bytes = kMostBytes) : most_bytes_(most_bytes) {}

  // Null: there is none that is still good. Good until the next call.
  [[nodiscard]] const AuthAnswer* find(std::string_view key, Monotonic now);
  void put(std::string key, AuthAnswer answer, Monotonic until);

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct Entry {
    std::string key;
    AuthAnswer answer;
    Monotonic until;
    std::size_t bytes = 0;
  };
  using Entries = std::list<Entry>;
  void drop(Entries::iterator entry);

  std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  Entries entries_;                                                 // the last used first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;  // views of the entries' keys
};

}  // namespace handfast::session
