#include "controller/translate/material_cache.h"

namespace handfast::translate {
namespace {

// Parsing looks at the clock for expired authorities only: facts hold until one expires, or the
// clock is set back.
bool still_hold(const MaterialCache::Facts& facts, std::int64_t parsed_at, std::int64_t now) {
  if (now < parsed_at) return false;
  return facts.error || facts.not_after == 0 || now <= facts.not_after ||
         parsed_at > facts.not_after;
}

}  // namespace

void MaterialCache::end_run() {
  std::erase_if(entries_, [this](const auto& entry) { return entry.second.run != run_; });
}

const MaterialCache::Facts& MaterialCache::get(const std::string& hash, std::int64_t now,
                                               const std::function<Facts()>& parse) {
  auto [entry, added] = entries_.try_emplace(hash);
  const bool asked_in_this_run = !added && entry->second.run == run_;
  if (!asked_in_this_run &&
      (added || !still_hold(entry->second.facts, entry->second.parsed_at, now))) {
    entry->second.facts = parse();
    entry->second.parsed_at = now;
  }
  entry->second.run = run_;
  return entry->second.facts;
}

}  // namespace handfast::translate
