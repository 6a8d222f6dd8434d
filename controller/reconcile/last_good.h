#pragma once
// The memory of what was last good, as the acknowledged generation tells it.
//
// Pure; thread-safe.

#include <functional>
#include <string>

#include "controller/translate/material.h"
#include "proxy/config/model.h"

namespace handfast::reconcile {

// Adds the items that a shard, or the default certificate, names: at start, from what is on disk.
void remember_items(const config::Shard& shard, translate::LastGood& items);
void remember_items(const config::KeyPairRef& default_certificate, translate::LastGood& items);

using IsOnDisk = std::function<bool(const std::string& directory)>;

// What is last good after an acknowledgement: the items of the content (`wanted`), but where the
// proxy would not take one, the one before, as long as its files are there.
[[nodiscard]] translate::LastGood after_acknowledgement(translate::LastGood wanted,
                                                        const translate::LastGood& before,
                                                        const IsOnDisk& is_on_disk);

}  // namespace handfast::reconcile
