#include "controller/translate/translate.h"

#include <utility>

#include "controller/translate/translator.h"

namespace handfast::translate {

Output translate(const state::ClusterState& state, const LastGood& last_good,
                 const Options& options, std::int64_t now) {
  Translator translator{state, last_good, options, now};
  Change change = translator.update({}, now);
  Output out;
  out.shards.reserve(change.shards.size());
  for (auto& [name, shard] : change.shards) out.shards.push_back(*std::move(shard));
  out.default_certificate = std::move(change.default_certificate);
  out.files = std::move(change.files);
  for (auto& [key, item] : change.items) {
    if (item) out.items.emplace(key, *std::move(item));
  }
  out.items.front = std::move(change.front);
  out.report = std::move(change.findings_new);
  sort(out.report);
  out.references = translator.references();
  return out;
}

}  // namespace handfast::translate
