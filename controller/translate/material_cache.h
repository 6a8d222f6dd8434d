#pragma once
// What parsing said about material, by the hash of its content: a Secret is parsed once, however
// many Ingresses name it and however often it is looked at.
//
// Holds facts and no material: no key, no certificate, no list. What nobody holds any more is
// forgotten, so the cache is as large as what is in use.
//
// Threading: one thread's.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
    bool for_clients = true;        // CertificateInfo::is_for_clients
    std::int64_t not_before = 0;    // of a CA bundle: when the first of `early` begins (0: none)
    // Of a key pair its expiry, of a CA bundle the earliest, of CRLs the earliest nextUpdate (0:
    // none).
    std::int64_t not_after = 0;
    std::int64_t due_at = 0;  // of CRLs: when a newer one should be there (0: no such time)
    std::vector<std::string> warnings;  // of a CA bundle: what is left out of it
    std::vector<std::string> early;     // of a CA bundle: what isn't valid yet
    // Parsing looks at the clock for the dates of authorities only: when that was, and how long
    // what it said holds.
    std::int64_t parsed_at = 0;
    std::int64_t good_until = 0;
  };

  // The facts for this hash, made by `parse` unless they are known and still hold at `now`.
  [[nodiscard]] std::shared_ptr<const Facts> get(const std::string& hash, std::int64_t now,
                                                 const std::function<Facts()>& parse);

  // Forgets what nobody holds. Called by itself when much has come.
  void collect();

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  std::unordered_map<std::string, std::weak_ptr<const Facts>> entries_;
  std::size_t collect_at_ = 64;
};

}  // namespace handfast::translate
