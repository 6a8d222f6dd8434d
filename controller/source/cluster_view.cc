#include "controller/source/cluster_view.h"

#include <algorithm>
#include <utility>

namespace handfast::source {
namespace {

using objects::ObjectKey;

bool is_on_demand(const ObjectKey& key) { return key.kind == "Secret" || key.kind == "ConfigMap"; }

}  // namespace

ClusterView::ClusterView(Scope scope, Timing timing, const Clock& clock)
    : scope_(std::move(scope)), timing_(timing), clock_(clock) {
  for (const ObjectKey& key : scope_.named) {
    if (key.kind == "Service") service_namespaces_.insert(key.ns);
  }
}

bool ClusterView::wants(const ObjectKey& key) {
  return !is_on_demand(key) || wanted_.contains(key);
}

bool ClusterView::covers(const ObjectKey& key) const {
  if (key.ns.empty() || scope_.named.contains(key)) return true;
  if (key.kind == "EndpointSlice" && service_namespaces_.contains(key.ns)) return true;
  if (scope_.has_selector) return matching_.contains(key.ns);
  return scope_.namespaces.empty() || scope_.namespaces.contains(key.ns);
}

void ClusterView::on_good(const ObjectKey& key) {
  if (bad_.erase(key) != 0) touch();
}

void ClusterView::on_object(const ObjectKey& key, objects::Object object) {
  on_good(key);
  if (scope_.has_selector && !is_on_demand(key)) {
    if (covers(key)) tell(key, object);
    all_.insert_or_assign(key, std::move(object));
  } else if (covers(key)) {
    tell(key, std::move(object));
  }
}

void ClusterView::on_bad(const ObjectKey& key, std::vector<objects::Decoded::Problem> problems) {
  bad_.insert_or_assign(key, std::move(problems));
  touch();
}

void ClusterView::on_gone(const ObjectKey& key) {
  if (key.kind == "Namespace") return unmatch(key.name);
  (void)bad_.erase(key);
  all_.erase(key);
  if (wanted_.contains(key)) gone_.push_back(key);
  tell(key, std::nullopt);
}

void ClusterView::on_name(const ObjectKey& key) {
  if (key.kind == "Namespace") match(key.name);
}

void ClusterView::match(const std::string& ns) {
  if (!matching_.insert(ns).second) return;
  for (const auto& [key, object] : all_) {
    if (key.ns == ns) tell(key, object);
  }
  std::ranges::copy_if(wanted_, std::back_inserter(uncovered_),
                       [&](const ObjectKey& key) { return key.ns == ns; });
  touch();
}

void ClusterView::unmatch(const std::string& ns) {
  if (matching_.erase(ns) == 0) return;
  for (const auto& [key, object] : all_) {
    if (key.ns == ns && !covers(key)) tell(key, std::nullopt);
  }
  for (const ObjectKey& key : wanted_) {
    if (key.ns == ns && !covers(key)) tell(key, std::nullopt);
  }
  touch();
}

void ClusterView::enter(const ObjectKey& key) { wanted_.insert(key); }

void ClusterView::leave(const ObjectKey& key) {
  if (wanted_.erase(key) == 0) return;
  (void)bad_.erase(key);
  std::erase(answered_, key);
  tell(key, std::nullopt);
}

void ClusterView::answer(const ObjectKey& key) {
  if (!wanted_.contains(key)) return;
  answered_.push_back(key);
  touch();
}

void ClusterView::set_troubles(std::vector<objects::Decoded::Problem> troubles) {
  if (troubles == troubles_) return;
  troubles_ = std::move(troubles);
  touch();
}

std::vector<ObjectKey> ClusterView::take_gone() { return std::exchange(gone_, {}); }

std::vector<ObjectKey> ClusterView::take_uncovered() { return std::exchange(uncovered_, {}); }

void ClusterView::tell(const ObjectKey& key, std::optional<objects::Object> object) {
  pending_.insert_or_assign(key, Event{key, std::move(object)});
  touch();
}

void ClusterView::touch() {
  last_ = clock_.now();
  if (!first_) first_ = last_;
}

std::optional<Monotonic> ClusterView::due() const {
  if (!first_) return std::nullopt;
  // Somebody waits for an answer.
  if (!answered_.empty()) return *first_;
  return std::min(last_ + timing_.quiet, *first_ + timing_.at_most);
}

std::vector<objects::Decoded::Problem> ClusterView::problems() const {
  std::vector<objects::Decoded::Problem> all = troubles_;
  for (const auto& [key, problems] : bad_) {
    if (covers(key)) all.insert(all.end(), problems.begin(), problems.end());
  }
  return all;
}

Batch ClusterView::take_batch(bool synced) {
  Batch batch;
  batch.synced = synced;
  batch.events.reserve(pending_.size());
  for (auto& [key, event] : pending_) batch.events.push_back(std::move(event));
  pending_.clear();
  batch.answered = std::exchange(answered_, {});
  batch.problems = problems();
  first_.reset();
  return batch;
}

}  // namespace handfast::source
