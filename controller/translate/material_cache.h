#pragma once
// What parsing said about material, by the hash of its content: a Secret is parsed once, however
// many Ingresses name it and however often translate() runs.
//
// Holds facts and no material: no key, no certificate, no list. What one run didn't ask for is
// forgotten at its end, so the cache is as large as what is in use.
//
// Threading: one thread's.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::translate {

class MaterialCache {
 public:
  struct Facts {
    std::optional<Error> error;  // none: good
    // Of a key pair.
    std::vector<std::string> sans;  // "DNS:shop.example"
    std::string key_type;           // "RSA", "EC", "ED25519"
    std::int64_t not_before = 0;
    // Of a key pair its expiry, of a CA bundle the earliest, of CRLs the earliest nextUpdate (0:
    // none).
    std::int64_t not_after = 0;
    std::vector<std::string> warnings;  // of a CA bundle
  };

  // Marks everything as not asked for.
  void begin_run() { ++run_; }
  // Forgets what wasn't asked for since.
  void end_run();

  // The facts for this hash, made by `parse` unless they are known and still hold at `now`. The
  // reference is good until end_run().
  const Facts& get(const std::string& hash, std::int64_t now, const std::function<Facts()>& parse);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Facts facts;
    std::int64_t parsed_at = 0;
    std::uint64_t run = 0;
  };
  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t run_ = 0;
};

}  // namespace handfast::translate
