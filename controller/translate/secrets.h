#pragma once
// From Secrets, ConfigMaps and ClusterTrustBundles to items of material: judged once each, last
// good kept if bad, and told of once, however many Ingresses use them.
//
// An item is a unit of work that others share: it is judged when somebody asks for it, judged again
// when what it rests on has changed, and dropped when nobody asks for it any more. Its files are
// part of the generation as long as somebody uses it.
//
// Threading: one thread's. Ownership: borrows state, last good and tracer; items stay where they
// are until they are dropped.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controller/objects/objects.h"
#include "controller/state/reader.h"
#include "controller/translate/findings.h"
#include "controller/translate/item_content.h"
#include "controller/translate/material.h"
#include "controller/translate/material_cache.h"
#include "controller/translate/trace.h"
#include "proxy/base/rare.h"
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
  std::string directory;          // Good, Kept
  RareText passphrases;           // of a pair: path of the file with those of its key
  PairForm form = PairForm::Pem;  // of a pair
  RareText staple;                // of a Good pair: path of the file with its OCSP response
  std::size_t bytes = 0;          // Good
  std::int64_t bad_since = 0;     // Kept
  Error error;                    // Kept, Bad: what is wrong with the content
  std::shared_ptr<const MaterialCache::Facts> facts;  // Good only

  [[nodiscard]] bool usable() const { return state == State::Good || state == State::Kept; }
};

// What a look into the last good items is known as to Tracer::touch().
[[nodiscard]] objects::ObjectKey last_good_topic(const ItemKey& key);
// The same of LastGood::front.
[[nodiscard]] objects::ObjectKey last_good_front_topic();

struct ItemUnit : Unit {
  // How an item is used: asked for, published, as our certificate, as a host's.
  enum How : std::uint8_t { Found, Published, Upstream, Front };

  ItemUnit() : Unit(UnitKind::Item) {}
  const ItemKey* key = nullptr;  // by which it is kept
  Item item;
  // What is told as long as it is used so.
  Report upstream_doubts;
  Report front_doubts;
  // What the last change said of it is the item as it is, or if not, this.
  bool is_given = false;
  Rare<GoodItem> given;
};

class Materials {
 public:
  // Borrows all.
  Materials(const state::Reader& state, const LastGood& last_good, Tracer& tracer)
      : state_(state), last_good_(last_good), tracer_(tracer) {}

  // The item of an object; Absent: it has none. Borrowed, good as long as the unit that asked uses
  // it.
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

  // Of a pair without passphrases that isn't there: is there PKCS#12, which is nothing without
  // them?
  [[nodiscard]] bool holds_pkcs12(const ItemKey& key) const;

  // Was the item in use before, though the object has it no more?
  [[nodiscard]] bool was_there(const ItemKey& key) const;

  // For a shard that uses a usable item: its files become part of the generation.
  enum class Side : unsigned char { Upstream, Front };
  config::KeyPairRef use_pair(const ItemKey& key, Side side);
  config::FileRef use_file(const ItemKey& key);

  // Judges again what is marked and still used.
  void refresh();
  void mark_everything();
  // Of a good one: into `files`, by path. What rests on it is known already: nothing is noted.
  void add_files(const ItemUnit& unit, const state::ClusterState& state, FileSet& files) const;
  // After the unit was forgotten.
  void drop(const ItemUnit& unit) { items_.erase(items_.find(*unit.key)); }

  // The item as it is published now; nothing: nobody uses it.
  [[nodiscard]] static std::optional<GoodItem> good_item(const ItemUnit& unit);
  // What there is to tell now.
  [[nodiscard]] static Report findings(const ItemUnit& unit);

 private:
  ItemUnit& unit_of(const ItemKey& key);
  void refresh(ItemUnit& unit);
  Item judge(const ItemKey& key, Report& findings);
  std::shared_ptr<const MaterialCache::Facts> facts_of(const ItemKey& key,
                                                       const ItemContent& content);
  Item keep_last_good(const ItemKey& key, const ItemContent& content, const Item& bad, Error error,
                      Report& findings);
  std::string judge_staple(const ItemKey& key, const ItemContent& content, Report& findings);
  Report tell_pair_doubts(const ItemKey& key, const MaterialCache::Facts& facts, Side side);
  void tell_trust_doubts(const ItemKey& key, const ItemContent& content,
                         const MaterialCache::Facts& facts, Report& findings);

  const state::Reader& state_;
  const LastGood& last_good_;
  Tracer& tracer_;
  MaterialCache cache_;
  std::map<ItemKey, ItemUnit> items_;
};

}  // namespace handfast::translate
