#include "controller/translate/trace.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::translate {
namespace {

template <class T>
void sort_once(std::vector<T>& list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
  list.shrink_to_fit();
}

// The directory of --crl-dir is known as a ConfigMap in no namespace, and is none.
bool holds_data(const objects::ObjectKey& key) {
  return key.kind == "Secret" || (key.kind == "ConfigMap" && !key.ns.empty());
}

}  // namespace

Tracer::Scope::Scope(Tracer& tracer, Unit& unit)
    : tracer_(tracer), unit_(unit), outer_(std::exchange(tracer.innermost_, this)) {}

Tracer::Scope::~Scope() {
  tracer_.innermost_ = outer_;
  if (!findings_.empty()) fresh_.findings = std::move(findings_);
  tracer_.settle(unit_, std::move(fresh_));
}

std::vector<Use> Tracer::Scope::take_uses_but(std::uint8_t how) {
  std::vector<Use>& uses = fresh_.uses;
  const auto others =
      std::ranges::stable_partition(uses, [how](const Use& use) { return use.how == how; });
  std::vector<Use> taken(others.begin(), others.end());
  uses.erase(others.begin(), others.end());
  return taken;
}

void Tracer::on_asked(objects::ObjectKey topic) {
  check(innermost_ != nullptr, "asked outside of every unit");
  innermost_->fresh_.topics.push_back(id(std::move(topic)));
}

void Tracer::on_relied(const Trace& trace) {
  check(innermost_ != nullptr, "relied on outside of every unit");
  auto& topics = innermost_->fresh_.topics;
  topics.insert(topics.end(), trace.topics.begin(), trace.topics.end());
  on_held(trace.from, trace.until);
}

void Tracer::on_held(std::int64_t from, std::int64_t until) {
  check(innermost_ != nullptr, "held outside of every unit");
  Trace& fresh = innermost_->fresh_;
  fresh.from = std::max(fresh.from, from);
  fresh.until = std::min(fresh.until, until);
}

void Tracer::on_used(Unit& unit, std::uint8_t how) {
  check(innermost_ != nullptr, "used outside of every unit");
  innermost_->fresh_.uses.push_back({&unit, how});
}

void Tracer::keep(std::shared_ptr<const MaterialCache::Facts> facts) {
  auto& kept = innermost_->fresh_.facts;
  (kept ? *kept : kept.emplace()).push_back(std::move(facts));
}

bool Tracer::has_come(std::int64_t time) {
  const bool come = now_ >= time;
  if (come) {
    on_held(time, Trace::kForever);
  } else {
    on_held(Trace::kAlways, time - 1);
  }
  return come;
}

std::int64_t Tracer::now_exactly() {
  on_held(now_, now_);
  return now_;
}

void Tracer::touch(const objects::ObjectKey& topic) {
  const auto realm = realms_.find({topic.kind, topic.ns});
  if (realm == realms_.end()) return;
  const auto found = ids_.find({&*realm, topic.name});
  if (found == ids_.end()) return;
  for (Unit* unit : entries_[found->second].units) mark(*unit);
}

void Tracer::mark(Unit& unit) {
  if (std::exchange(unit.is_dirty, true)) return;
  dirty_[static_cast<std::size_t>(unit.kind)].push_back(&unit);
}

std::vector<Unit*> Tracer::take_dirty(UnitKind kind) {
  return std::exchange(dirty_[static_cast<std::size_t>(kind)], {});
}

void Tracer::look_at(Unit& unit) {
  if (!std::exchange(unit.is_touched, true)) touched_.push_back(&unit);
}

std::vector<Unit*> Tracer::take_touched() {
  for (Unit* unit : touched_) unit->is_touched = false;
  return std::exchange(touched_, {});
}

void Tracer::settle(Unit& unit, Trace fresh) {
  sort_once(fresh.topics);
  sort_once(fresh.uses);
  // Gained before lost: what is used now as before isn't dropped in between.
  for (const Use& use : fresh.uses) {
    if (use.unit->used[use.how]++ == 0) look_at(*use.unit);
  }
  for (const Use& use : unit.trace.uses) {
    if (--use.unit->used[use.how] == 0) look_at(*use.unit);
  }
  if (fresh.topics != unit.trace.topics) listen(unit, fresh.topics);
  bound(unit, fresh.from, fresh.until);
  if (std::exchange(unit.is_out, false)) unit.told = std::move(unit.trace.findings);
  unit.trace = std::move(fresh);
  unit.is_dirty = false;
  look_at(unit);
}

void Tracer::listen(Unit& unit, const std::vector<Topic>& now) {
  const std::vector<Topic>& before = unit.trace.topics;
  std::vector<Topic> lost;
  std::vector<Topic> gained;
  std::ranges::set_difference(before, now, std::back_inserter(lost));
  std::ranges::set_difference(now, before, std::back_inserter(gained));
  for (const Topic topic : gained) {
    entries_[topic].units.push_back(&unit);
    note_change(topic);
  }
  for (const Topic topic : lost) {
    auto& units = entries_[topic].units;
    const auto found = std::ranges::find(units, &unit);
    *found = units.back();
    units.pop_back();
    note_change(topic);
  }
}

void Tracer::bound(Unit& unit, std::int64_t from, std::int64_t until) {
  const Trace& before = unit.trace;
  if (before.from != from) {
    by_from_.erase({before.from, &unit});
    if (from != Trace::kAlways) by_from_.emplace(from, &unit);
  }
  if (before.until != until) {
    by_until_.erase({before.until, &unit});
    if (until != Trace::kForever) by_until_.emplace(until, &unit);
  }
}

void Tracer::set_now(std::int64_t now) {
  now_ = now;
  for (const auto& [until, unit] : by_until_) {
    if (until >= now) break;
    mark(*unit);
  }
  for (auto at = by_from_.rbegin(); at != by_from_.rend() && at->first > now; ++at) {
    mark(*at->second);
  }
}

void Tracer::forget(Unit& unit) {
  const Trace& trace = unit.trace;
  const bool is_forgotten = trace.topics.empty() && trace.uses.empty() && !trace.findings;
  if (!is_forgotten) settle(unit, {});
  unit.is_dirty = false;
}

void Tracer::note_change(Topic topic) {
  if (!std::exchange(entries_[topic].is_changed, true)) changed_.push_back(topic);
}

Topic Tracer::id(objects::ObjectKey key) {
  const auto realm = realms_.try_emplace({std::move(key.kind), std::move(key.ns)}).first;
  const auto [place, is_new] = ids_.try_emplace({&*realm, std::move(key.name)});
  if (!is_new) return place->second;
  ++realm->second;
  Topic topic = 0;
  if (free_.empty()) {
    topic = static_cast<Topic>(entries_.size());
    entries_.emplace_back();
  } else {
    topic = free_.back();
    free_.pop_back();
  }
  place->second = topic;
  entries_[topic].id = place;
  note_change(topic);
  return topic;
}

void Tracer::forget(Entry& entry) {
  const Realms::value_type* const realm = entry.id->first.first;
  ids_.erase(entry.id);
  entry = {};
  const auto found = realms_.find(realm->first);
  if (--found->second == 0) realms_.erase(found);
}

objects::ObjectKey Tracer::key_of(const Entry& entry) {
  const auto& [realm, name] = entry.id->first;
  return {realm->first.first, realm->first.second, name};
}

Tracer::References Tracer::take_references() {
  References changes;
  for (const Topic topic : std::exchange(changed_, {})) {
    Entry& entry = entries_[topic];
    entry.is_changed = false;
    const bool is_asked = !entry.units.empty();
    if (is_asked != entry.is_told) {
      objects::ObjectKey key = key_of(entry);
      if (holds_data(key)) {
        (is_asked ? changes.added : changes.gone).push_back(std::move(key));
        entry.is_told = is_asked;
      }
    }
    if (is_asked) continue;
    forget(entry);
    free_.push_back(topic);
  }
  return changes;
}

std::set<objects::ObjectKey> Tracer::references() const {
  std::set<objects::ObjectKey> keys;
  for (const auto& [name, topic] : ids_) {
    if (entries_[topic].is_told) keys.insert(key_of(entries_[topic]));
  }
  return keys;
}

}  // namespace handfast::translate
