#include "controller/reconcile/reconciler.h"

#include <algorithm>
#include <utility>

#include "proxy/base/log.h"

namespace handfast::reconcile {
namespace {

using publish::Outcome;

constexpr std::chrono::milliseconds kFirstBackoff{500};
constexpr std::chrono::milliseconds kMostBackoff{30'000};
// A proxy that isn't there yet, or did not answer; one that serves what we want.
constexpr std::chrono::milliseconds kPollPending{250};
constexpr std::chrono::milliseconds kPollServed{2'000};
// Findings tell about certificates that are about to expire: time alone makes news.
constexpr std::chrono::hours kTranslateAgain{1};
constexpr std::chrono::milliseconds kMostWait{1'000};
constexpr std::chrono::seconds kStatusPause{1};
// Handshakes make news, and nobody tells.
constexpr std::chrono::seconds kStatusAgain{10};

translate::Report findings_of(const std::vector<objects::Decoded::Problem>& problems) {
  translate::Report findings;
  findings.reserve(problems.size());
  for (const objects::Decoded::Problem& problem : problems) {
    findings.push_back(translate::to_finding(problem));
  }
  return findings;
}

std::string_view result_word(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::Unchanged:
      return "unchanged";
    case Outcome::Kind::Acknowledged:
      return "acknowledged";
    case Outcome::Kind::Pending:
      return "pending";
    case Outcome::Kind::Failed:
      return "failed";
  }
  return "";
}

}  // namespace

Reconciler::Reconciler(Parts parts, translate::Options options, translate::LastGood last_good)
    : parts_(parts),
      last_good_(std::move(last_good)),
      translator_(state_, last_good_, std::move(options), parts.clock.unix_now()),
      gate_({state_, parts.writer, parts.clock, parts.asker}),
      backoff_(kFirstBackoff) {}

void Reconciler::take(source::Batch batch) {
  bool changed = false;
  for (source::Event& event : batch.events) {
    const std::string& kind = event.key.kind;
    are_ingresses_touched_ =
        are_ingresses_touched_ || kind == "Ingress" || kind == "IngressClass" || kind == "Service";
    const bool is_known = state_.contains(event.key);
    if (event.object) {
      changed = state_.apply(std::move(*event.object)) || changed;
      if (!is_known) ++objects_by_kind_[event.key.kind];
    } else {
      changed = state_.remove(event.key) || changed;
      if (is_known) --objects_by_kind_[event.key.kind];
    }
  }
  parts_.metrics.set_objects(objects_by_kind_);
  parts_.metrics.set_skipped_documents(batch.skipped_documents);
  translate::Report findings = findings_of(batch.problems);
  tell_findings(source_findings_, findings);
  source_findings_ = std::move(findings);
  const bool first = batch.synced && !synced_;
  synced_ = synced_ || batch.synced;
  for (const objects::ObjectKey& key : batch.answered) {
    missing_.erase(key);
    late_.erase(key);
  }
  if (changed || first || (is_dirty_ && !batch.answered.empty())) {
    is_dirty_ = true;
    retry_at_ = {};
  }
  if (!batch.events.empty()) want_status();
}

void Reconciler::on_reply(preflight::Reply reply) {
  gate_.take(std::move(reply));
  tell_preflights();
}

std::optional<Monotonic> Reconciler::due() const {
  if (!synced_) return std::nullopt;
  const Monotonic due = std::min({poll_at_, is_dirty_ ? retry_at_ : translate_at_, status_at_});
  // What has to be written first is asked about after it.
  return is_dirty_ ? due : std::min(due, gate_.due().value_or(due));
}

void Reconciler::work() {
  if (!synced_) return;
  const Monotonic now = parts_.clock.now();
  if (now >= (is_dirty_ ? retry_at_ : translate_at_)) {
    publish();
  } else if (now >= poll_at_) {
    poll();
  }
  if (!is_dirty_) ask();
  if (now >= status_at_) tell_status();
}

void Reconciler::ask() {
  gate_.ask();
  tell_preflights();
}

// Makes a round due for what was decided.
void Reconciler::tell_preflights() {
  const preflight::Gate::News news = gate_.take_news();
  for (const preflight::Verdict verdict : news.verdicts) {
    parts_.metrics.count_preflight(preflight::to_string(verdict));
  }
  parts_.metrics.set_preflights_held(gate_.held_count());
  tell_findings(news.over, news.added);
  if (!news.over.empty() || !news.added.empty()) want_status();
  if (!gate_.is_dirty() || is_dirty_) return;
  is_dirty_ = true;
  retry_at_ = {};
}

void Reconciler::publish() {
  started_ = parts_.clock.now();
  translate_at_ = started_ + kTranslateAgain;
  const bool is_whole = parts_.publisher.needs_whole();
  touched_.merge(state_.take_touched());
  translate::Change change =
      translator_.update(std::exchange(touched_, {}), parts_.clock.unix_now(), is_whole);
  note_references(change.references);
  if (held_) {
    translate::join(*held_, std::move(change));
    change = *std::exchange(held_, std::nullopt);
  }
  if (must_wait()) {
    held_ = std::move(change);
    return;
  }
  was_published_ = true;
  add_own_ticket_keys(change);
  gate_.pass(change);
  tell_preflights();
  tell_findings(change.findings_over, change.findings_new);
  tell_routes(change);

  publish::Content content{.shards = {},
                           .default_certificate = change.default_certificate,
                           .files = std::move(change.files),
                           .is_change = !change.is_whole,
                           .gone = {}};
  for (auto& [name, shard] : change.shards) {
    if (shard) {
      content.shards.push_back(*std::move(shard));
    } else {
      content.gone.push_back(name);
    }
  }
  change.shards.clear();
  const Outcome outcome = parts_.publisher.publish(content);
  if (outcome.kind == Outcome::Kind::Failed) {
    written_items_.reset();
  } else {
    if (!written_items_) written_items_.emplace();
    add_to(*written_items_, change);
  }
  settle(outcome);
  if (outcome.kind != Outcome::Kind::Unchanged) {
    parts_.metrics.count_publish(result_word(outcome.kind));
  }
}

// Tells the source what is referred to now.
void Reconciler::note_references(const translate::Tracer::References& others) {
  if (parts_.source == nullptr || delivers_everything_) return;
  for (const objects::ObjectKey& key : others.gone) {
    references_.erase(key);
    missing_.erase(key);
    late_.erase(key);
  }
  for (const objects::ObjectKey& key : others.added) {
    if (references_.insert(key).second) missing_.insert(key);
  }
  const bool is_other = !others.gone.empty() || !others.added.empty();
  if (is_other || !was_asked_) delivers_everything_ = parts_.source->want(references_);
  was_asked_ = true;
}

// Whether the source has to look for something first; then it is clear when to go on.
bool Reconciler::must_wait() {
  if (parts_.source == nullptr || delivers_everything_) return false;
  const Monotonic now = parts_.clock.now();
  if (!missing_.empty() && !wait_until_) wait_until_ = now + kMostWait;
  if (missing_.empty() || (was_published_ && (!late_.empty() || now >= *wait_until_))) {
    late_ = missing_;
    wait_until_.reset();
    return false;
  }
  is_dirty_ = true;
  retry_at_ = was_published_ ? *wait_until_ : now + kTranslateAgain;
  if (!was_published_) poll_at_ = retry_at_;
  return true;
}

// Where no Secret has any, and sessions are to be taken up.
void Reconciler::add_own_ticket_keys(translate::Change& change) {
  if (parts_.ring == nullptr) return;
  const UnixSeconds now = parts_.clock.unix_now();
  parts_.ring->rotate(now);
  translate_at_ =
      std::min(translate_at_, started_ + std::chrono::seconds(parts_.ring->due() - now));
  config::Front front = change.front;
  if (!front.session_tickets || !front.ticket_keys.empty()) return;
  const config::FileRef file = parts_.ring->file();
  front.ticket_keys = {file};
  change.files[file.path] = parts_.ring->bytes();
  std::string name = config::shard_name(front);
  change.shards.insert_or_assign(std::move(name), std::move(front));
}

void Reconciler::poll() {
  const Outcome outcome = parts_.publisher.poll();
  settle(outcome);
  if (outcome.kind == Outcome::Kind::Acknowledged) {
    parts_.metrics.count_publish(result_word(outcome.kind));
  }
}

// What an outcome means for what comes next.
void Reconciler::settle(const Outcome& outcome) {
  const Monotonic now = parts_.clock.now();
  using Kind = Outcome::Kind;
  if (outcome.kind == Kind::Failed) {
    is_dirty_ = true;
    retry_at_ = now + backoff_;
    poll_at_ = retry_at_;
    backoff_ = std::min(2 * backoff_, kMostBackoff);
  } else {
    // What is held back is not out yet.
    is_dirty_ = held_.has_value();
    backoff_ = kFirstBackoff;
    poll_at_ = now + (outcome.kind == Kind::Pending ? kPollPending : kPollServed);
  }
  translate_at_ = std::min(translate_at_, parts_.publisher.due());
  // What became current because no proxy was there counts too: a proxy that starts serves it, maybe
  // before it is asked, and a bad update in between must find something good.
  const bool served = outcome.kind == Kind::Acknowledged || outcome.kind == Kind::Unchanged ||
                      (outcome.kind == Kind::Pending && outcome.generation != 0 &&
                       parts_.writer.current() == outcome.generation);
  if (served && written_items_) acknowledge_items();
  if (outcome.kind == Kind::Acknowledged) {
    const std::chrono::duration<double> took = now - started_;
    parts_.metrics.set_last_publish(parts_.clock.unix_now(), took.count());
    ready_.store(true, std::memory_order_relaxed);
  }
  tell(outcome);
  tell_last_good();
}

void Reconciler::acknowledge_items() {
  if (written_items_->front != last_good_.front) {
    touched_.insert(translate::last_good_front_topic());
  }
  const auto others = acknowledge(*written_items_, last_good_,
                                  [this](const std::string& path) { return is_on_disk(path); });
  written_items_.reset();
  for (const translate::ItemKey& key : others) {
    touched_.insert(translate::last_good_topic(key));
    const auto item = last_good_.find(key);
    if (item != last_good_.end() && item->second.bad_since != 0) {
      kept_last_good_.insert(key);
    } else {
      kept_last_good_.erase(key);
    }
  }
}

// What the API server's objects say of us is behind by a second at most.
void Reconciler::want_status() {
  if (parts_.status == nullptr || !was_published_) return;
  status_at_ = std::min(status_at_, std::max(parts_.clock.now(), status_told_ + kStatusPause));
}

void Reconciler::tell_status() {
  status_told_ = parts_.clock.now();
  status_at_ = status_told_ + kStatusAgain;
  std::erase_if(rejected_,
                [this](const auto& one) { return !parts_.publisher.is_replaced(one.first); });
  Result<config::StateAnswer> proxy;
  if (state_.has_upstream_tls_policies()) proxy = parts_.status->proxy.state();
  parts_.status->reporter.tell(
      {.state = state_,
       .are_ingresses_touched = std::exchange(are_ingresses_touched_, false),
       .manifest = parts_.writer.manifest(parts_.writer.newest()),
       .is_served = parts_.publisher.acknowledged() == parts_.writer.newest(),
       .rejected = rejected_,
       .proxy = proxy ? &*proxy : nullptr,
       .is_gone = parts_.status->is_gone,
       .node_addresses = parts_.status->node_addresses});
}

bool Reconciler::is_on_disk(const std::string& directory) const {
  return parts_.writer.has_directory(directory);
}

void Reconciler::tell(const Outcome& outcome) {
  using Kind = Outcome::Kind;
  const std::string generation = std::to_string(outcome.generation);
  if (outcome.kind != told_kind_ || outcome.kind == Kind::Acknowledged) want_status();
  for (const config::Rejection& rejection : outcome.replaced) {
    rejected_.insert_or_assign(rejection.shard, rejection);
    parts_.metrics.count_rejected_shard(to_string(rejection.reason));
    log(LogLevel::Error, "the proxy does not take a shard; it stays at its last good or is refused",
        {{"shard", rejection.shard},
         {"field", rejection.field},
         {"file", rejection.file},
         {"reason", to_string(rejection.reason)},
         {"detail", rejection.detail}});
  }
  parts_.metrics.set_replaced_shards(parts_.publisher.replaced_count());
  parts_.metrics.set_generation(parts_.publisher.acknowledged());

  const bool is_news = outcome.kind != told_kind_ || outcome.error.detail != told_detail_;
  told_kind_ = outcome.kind;
  told_detail_ = outcome.error.detail;
  if (outcome.kind == Kind::Acknowledged) {
    log(LogLevel::Info, "generation acknowledged", {{"generation", generation}});
  } else if (!is_news) {
    return;
  } else if (outcome.kind == Kind::Failed) {
    log(LogLevel::Error, "publishing failed and is tried again; the last generation stays",
        {{"reason", to_string(outcome.error.reason)}, {"detail", outcome.error.detail}});
  } else if (outcome.kind == Kind::Pending && outcome.error.detail.empty()) {
    log(LogLevel::Info, "waiting for a proxy", {{"generation", generation}});
  } else if (outcome.kind == Kind::Pending) {
    log(LogLevel::Warning, "the proxy did not acknowledge yet",
        {{"generation", generation}, {"detail", outcome.error.detail}});
  }
}

void Reconciler::tell_findings(const translate::Report& over, const translate::Report& added) {
  if (over.empty() && added.empty()) return;
  if (parts_.status != nullptr) parts_.status->reporter.note(over, added);
  static_cast<void>(findings_log_.update(over, added));
  std::map<metrics::Metrics::FindingKey, std::size_t> counts;
  for (const auto& [key, count] : findings_log_.counts()) {
    counts[{std::string(translate::to_string(key.first)), std::string(to_string(key.second))}] +=
        count;
  }
  parts_.metrics.set_findings(counts);
}

void Reconciler::tell_routes(const translate::Change& change) {
  tally_.update(change);
  parts_.metrics.set_routes_refused(tally_.refused());
  parts_.metrics.set_routes_insecure(tally_.insecure());
}

void Reconciler::tell_last_good() {
  const std::int64_t now = parts_.clock.unix_now();
  std::map<metrics::Metrics::ItemName, std::int64_t> ages;
  for (const translate::ItemKey& key : kept_last_good_) {
    const translate::GoodItem& item = last_good_.at(key);
    std::string file(translate::data_key_of(key));
    ages[{key.ns, key.name, std::move(file)}] = std::max<std::int64_t>(now - item.bad_since, 0);
  }
  parts_.metrics.set_last_good_ages(ages);
}

}  // namespace handfast::reconcile
