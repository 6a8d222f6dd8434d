#pragma once
// The memory of what was last good, as the acknowledged generation tells it.
//
// Pure; thread-safe.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "controller/translate/material.h"
#include "controller/translate/translator.h"
#include "proxy/config/model.h"

namespace handfast::reconcile {

// Adds the items that a shard, or the default certificate, names: at start, from what is on disk.
void remember_items(const config::Shard& shard, translate::LastGood& items);
void remember_items(const config::KeyPairRef& default_certificate, translate::LastGood& items);

using IsOnDisk = std::function<bool(const std::string& directory)>;

// Forgets those of whom not all files are there.
void keep_whole(translate::LastGood& items, const IsOnDisk& is_on_disk);

// The items of what was written, since the last acknowledgement.
struct WantedItems {
  bool is_whole = false;  // what isn't in it is not wanted
  std::map<translate::ItemKey, std::optional<translate::GoodItem>> items;
  config::Front front;
};
// `wanted`, and then what `change` says.
void add_to(WantedItems& wanted, const translate::Change& change);

// What is last good after an acknowledgement: the items of the content, but where the proxy would
// not take one, the one before, as long as its files are there. Answers those that are other now.
[[nodiscard]] std::set<translate::ItemKey> acknowledge(const WantedItems& wanted,
                                                       translate::LastGood& last_good,
                                                       const IsOnDisk& is_on_disk);

}  // namespace handfast::reconcile
