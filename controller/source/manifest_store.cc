#include "controller/source/manifest_store.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "controller/source/volume.h"
#include "controller/source/yaml_reader.h"

namespace handfast::source {
namespace {

using objects::ObjectKey;
using Problem = objects::Decoded::Problem;

// Whether the key says which object is meant.
bool is_complete(const ObjectKey& key) {
  const bool is_cluster_scoped = key.kind == "IngressClass" || key.kind == "ClusterTrustBundle";
  return !key.name.empty() && (!key.ns.empty() || is_cluster_scoped);
}

bool is_unknown(const FileTree& tree, std::string_view name) {
  return tree.root == FileTree::Root::Unreadable ||
         std::ranges::any_of(tree.unknown,
                             [&](const std::string& prefix) { return name.starts_with(prefix); });
}

}  // namespace

ManifestStore::Update ManifestStore::update(const FileTree& tree, const std::stop_token& stop) {
  for (const auto& [name, file] : tree.files) {
    if (stop.stop_requested()) return {};
    refresh(name, file);
  }
  for (auto at = records_.begin(); at != records_.end();) {
    if (tree.files.contains(at->first) || is_unknown(tree, at->first)) {
      ++at;
    } else {
      forget(at->first, at->second);
      at = records_.erase(at);
    }
  }
  return tell(tree);
}

ManifestStore::Update ManifestStore::update(const FileTree& tree,
                                            const std::set<std::string>& names,
                                            const std::stop_token& stop) {
  for (const std::string& name : names) {
    if (stop.stop_requested()) return {};
    const auto file = tree.files.find(name);
    if (file != tree.files.end()) {
      refresh(name, file->second);
      continue;
    }
    const auto record = records_.find(name);
    if (record == records_.end() || is_unknown(tree, name)) continue;
    forget(name, record->second);
    records_.erase(record);
  }
  return tell(tree);
}

ManifestStore::Update ManifestStore::tell(const FileTree& tree) {
  Update out;
  out.should_retry = tree.root != FileTree::Root::Listed || !tree.unknown.empty();
  settle(out.batch.events);

  std::vector<Problem>& problems = out.batch.problems;
  problems = tree.problems;
  for (const std::string& name : troubled_) {
    const Record& record = records_.at(name);
    problems.insert(problems.end(), record.problems.begin(), record.problems.end());
  }
  out.batch.skipped_documents = skipped_;
  add_conflicts(problems);
  std::ranges::stable_sort(problems, [](const Problem& left, const Problem& right) {
    return std::tie(left.origin.file, left.origin.line) <
           std::tie(right.origin.file, right.origin.line);
  });
  out.is_news = !out.batch.events.empty() || problems != told_problems_ ||
                out.batch.skipped_documents != told_skipped_;
  told_problems_ = problems;
  told_skipped_ = out.batch.skipped_documents;
  return out;
}

void ManifestStore::set_findings(const std::string& name, Record& record,
                                 std::vector<Problem> problems, std::size_t skipped) {
  record.problems = std::move(problems);
  skipped_ += skipped - record.skipped;
  record.skipped = skipped;
  if (record.problems.empty()) {
    troubled_.erase(name);
  } else {
    troubled_.insert(name);
  }
}

void ManifestStore::refresh(const std::string& name, const FoundFile& file) {
  const auto known = records_.find(name);
  const bool is_unchanged = known != records_.end() && known->second.is_settled && !file.problem &&
                            known->second.id == file.id;
  if (is_unchanged) return;

  Record& record = known != records_.end() ? known->second : records_[name];
  std::optional<Error> problem = file.problem;
  record.is_settled = false;
  if (!problem && file.volume) {
    ReadVolume read = read_volume(file, name);
    record.id = read.id;
    record.is_settled = read.is_settled;
    if (read.decoded) {
      Parsed parsed;
      add_decoded(*std::move(read.decoded), parsed);
      merge(name, record, std::move(parsed));
    } else {
      problem = std::move(read.decoded.error());
    }
  } else if (!problem) {
    ReadFile read = read_file(file.path);
    record.id = read.id;
    record.is_settled = read.is_settled;
    if (read.text && read.text->empty() && !record.keys.empty()) {
      // What a shell makes of a file that a slow command is about to write: `kubectl get … >
      // x.yaml`.
      problem = Error{Reason::BadYaml, "is empty: its objects stay until it is deleted or written"};
    } else if (read.text) {
      merge(name, record, parse(name, *read.text));
    } else {
      problem = std::move(read.text.error());
    }
  }
  if (problem) {
    keep_all(name, record, std::move(*problem));
    unread_.insert(name);
  } else {
    unread_.erase(name);
  }
  if (record.is_settled) {
    unsettled_.erase(name);
  } else {
    unsettled_.insert(name);
  }
}

ManifestStore::Parsed ManifestStore::parse(const std::string& name, std::string_view text) {
  Parsed out;
  read_documents(text, [&](Result<objects::Value> document, int line) {
    if (!document) {
      out.problems.push_back({{}, {name, line}, {}, std::move(document.error())});
      return;
    }
    add_decoded(objects::decode(*document, name), out);
  });
  return out;
}

void ManifestStore::add_decoded(objects::Decoded decoded, Parsed& out) {
  out.skipped += decoded.skipped.size();
  std::ranges::move(decoded.problems, std::back_inserter(out.problems));
  for (objects::Object& object : decoded.objects) {
    ObjectKey key = objects::key(object);
    const objects::Origin origin = objects::meta(object).origin;
    const auto [held, is_new] = out.objects.try_emplace(std::move(key), nullptr);
    if (is_new) {
      held->second = std::make_shared<const objects::Object>(std::move(object));
      continue;
    }
    const int first_line = objects::meta(*held->second).origin.line;
    out.problems.push_back(
        {held->first,
         origin,
         {},
         {Reason::Conflict, objects::to_string(held->first) + " is in this file twice: line " +
                                std::to_string(first_line) + " is used"}});
  }
}

void ManifestStore::merge(const std::string& name, Record& record, Parsed parsed) {
  // Which documents of the last parse may still be meant by something that can't be decoded now.
  std::set<ObjectKey> bad;
  bool is_any_unknown = false;
  for (const Problem& problem : parsed.problems) {
    if (is_complete(problem.key)) {
      bad.insert(problem.key);
    } else {
      is_any_unknown = true;
    }
  }
  std::set<ObjectKey> kept;
  for (const ObjectKey& key : record.keys) {
    touched_.insert(key);
    if (parsed.objects.contains(key)) continue;
    auto& claims = entries_[key].claims;
    if (is_any_unknown || bad.contains(key)) {
      claims[name].is_kept = true;
      kept.insert(key);
    } else {
      claims.erase(name);
    }
  }
  for (auto& [key, object] : parsed.objects) {
    touched_.insert(key);
    entries_[key].claims.insert_or_assign(name, Claim{std::move(object), false});
    kept.insert(key);
  }
  record.keys = std::move(kept);
  set_findings(name, record, std::move(parsed.problems), parsed.skipped);
}

void ManifestStore::keep_all(const std::string& name, Record& record, Error problem) {
  for (const ObjectKey& key : record.keys) {
    touched_.insert(key);
    entries_[key].claims[name].is_kept = true;
  }
  set_findings(name, record, {Problem{{}, {name, 0}, {}, std::move(problem)}}, record.skipped);
}

void ManifestStore::forget(const std::string& name, Record& record) {
  set_findings(name, record, {}, 0);
  unsettled_.erase(name);
  unread_.erase(name);
  for (const ObjectKey& key : record.keys) {
    touched_.insert(key);
    entries_[key].claims.erase(name);
  }
}

const ManifestStore::Claim* ManifestStore::winner(const Entry& entry) {
  const Claim* kept = nullptr;
  for (const auto& [file, claim] : entry.claims) {
    if (!claim.is_kept) return &claim;
    if (kept == nullptr) kept = &claim;
  }
  return kept;
}

void ManifestStore::settle(std::vector<Event>& events) {
  for (const ObjectKey& key : touched_) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) continue;
    Entry& entry = found->second;
    const auto writers = std::ranges::count_if(
        entry.claims, [](const auto& claim) { return !claim.second.is_kept; });
    if (writers > 1) {
      contested_.insert(key);
    } else {
      contested_.erase(key);
    }

    const Claim* const best = winner(entry);
    if (best == nullptr) {
      if (entry.told) events.push_back({key, std::nullopt});
      entries_.erase(found);
      continue;
    }
    const bool is_known = entry.told == best->object ||
                          (entry.told && objects::same_content(*entry.told, *best->object));
    if (!is_known) events.push_back({key, *best->object});
    entry.told = best->object;
  }
  touched_.clear();
}

void ManifestStore::add_conflicts(std::vector<Problem>& problems) const {
  for (const ObjectKey& key : contested_) {
    const Entry& entry = entries_.at(key);
    const objects::Origin* used = nullptr;
    for (const auto& [file, claim] : entry.claims) {
      if (claim.is_kept) continue;
      const objects::Origin& origin = objects::meta(*claim.object).origin;
      if (used == nullptr) {
        used = &origin;
        continue;
      }
      problems.push_back(
          {key,
           origin,
           {},
           {Reason::Conflict, objects::to_string(key) + " is also in " + used->file.text() + ":" +
                                  std::to_string(used->line) + ", " + "which is used"}});
    }
  }
}

}  // namespace handfast::source
