#pragma once
// From Secrets, ConfigMaps and ClusterTrustBundles to items of material: judged once each, last
// good kept if bad.
//
// One Materials serves one run of translate(). It fills the run's FileSet and LastGood with what
// was asked for, and reports what is wrong with an object once, however many Ingresses use it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/item_content.h"
#include "controller/translate/material.h"
#include "controller/translate/material_cache.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct Item {
  enum class State : unsigned char {
    Absent,  // the object or the key isn't there
    Good,
    Kept,  // bad, and what was good before serves on
    Bad,   // bad, and there is nothing to serve on with
  };
  State state = State::Absent;
  std::string directory;       // Good, Kept
  std::string passphrases;     // of a pair: path of the file with those of its key
  bool is_pkcs12 = false;      // of a pair
  std::size_t bytes = 0;       // Good
  std::int64_t bad_since = 0;  // Kept
  Error error;                 // Kept, Bad: what is wrong with the content
  // Good only; of the cache.
  const MaterialCache::Facts* facts = nullptr;

  [[nodiscard]] bool usable() const { return state == State::Good || state == State::Kept; }
};

class Materials {
 public:
  // Borrows all.
  Materials(const state::Reader& state, const LastGood& last_good, std::int64_t now,
            MaterialCache& cache, FileSet& files, LastGood& items, Report& report);

  // The item of an object. Borrowed, good as long as this.
  const Item& find(const ItemKey& key);

  // Whether the content is good now; tells nothing.
  [[nodiscard]] bool is_good(const ItemKey& key);

  // The item of several parts, the first of which is `key`, that was last good; null: none.
  [[nodiscard]] const ItemKey* find_joined(const ItemKey& key) const;

  // Are the passphrases there that a pair names?
  [[nodiscard]] bool has_passphrases(const ItemKey& key) const;

  // Is there such an object?
  [[nodiscard]] bool exists(const ItemKey& key) const;

  // Does the object hold anything for the item, good or bad?
  [[nodiscard]] bool has_content(const ItemKey& key) const;

  // Was the item in use before, though the object has it no more?
  [[nodiscard]] bool was_there(const ItemKey& key) const;

  // For a shard that uses a usable item: its files become part of the generation.
  enum class Side : unsigned char { Upstream, Front };
  config::KeyPairRef use_pair(const ItemKey& key, Side side);
  config::FileRef use_file(const ItemKey& key);

 private:
  Item judge(const ItemKey& key);
  const MaterialCache::Facts& facts_of(const ItemKey& key, const ItemContent& content);
  Item keep_last_good(const ItemKey& key, const ItemContent& content, const Item& bad, Error error);
  const Item& use(const ItemKey& key);
  void tell_pair_dates(const ItemKey& key, const MaterialCache::Facts& facts, Side side);
  void tell_trust_doubts(const ItemKey& key, const ItemContent& content,
                         const MaterialCache::Facts& facts);

  const state::Reader& state_;
  const LastGood& last_good_;
  const std::int64_t now_;
  MaterialCache& cache_;
  FileSet& files_;
  LastGood& items_;
  Report& report_;
  std::map<ItemKey, Item> known_;
  std::map<ItemKey, bool> good_;  // what is_good() said
  std::set<std::pair<ItemKey, Side>> dates_told_;
};

}  // namespace handfast::translate
