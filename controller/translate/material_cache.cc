#include "controller/translate/material_cache.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace handfast::translate {
namespace {

std::int64_t good_until(const MaterialCache::Facts& facts) {
  std::int64_t until = std::numeric_limits<std::int64_t>::max();
  if (facts.error) return until;
  if (facts.not_after != 0 && facts.parsed_at <= facts.not_after) until = facts.not_after;
  if (facts.parsed_at < facts.not_before) until = std::min(until, facts.not_before - 1);
  return until;
}

}  // namespace

std::shared_ptr<const MaterialCache::Facts> MaterialCache::get(
    const std::string& hash, std::int64_t now, const std::function<Facts()>& parse) {
  if (entries_.size() >= collect_at_) {
    collect();
    collect_at_ = std::max<std::size_t>(64, 2 * entries_.size());
  }
  std::weak_ptr<const Facts>& entry = entries_[hash];
  auto known = entry.lock();
  if (known != nullptr && now >= known->parsed_at && now <= known->good_until) return known;
  Facts facts = parse();
  facts.parsed_at = now;
  facts.good_until = good_until(facts);
  known = std::make_shared<const Facts>(std::move(facts));
  entry = known;
  return known;
}

void MaterialCache::collect() {
  std::erase_if(entries_, [](const auto& entry) { return entry.second.expired(); });
}

}  // namespace handfast::translate
