#include "controller/reconcile/reconciler.h"

#include <algorithm>
#include <iterator>
#include <variant>

#include "controller/reconcile/last_good.h"
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
      options_(std::move(options)),
      last_good_(std::move(last_good)),
      backoff_(kFirstBackoff) {}

void Reconciler::take(source::Batch batch) {
  bool changed = false;
  for (source::Event& event : batch.events) {
    if (event.object) {
      changed = state_.apply(std::move(*event.object)) || changed;
      if (known_.insert(event.key).second) ++objects_by_kind_[event.key.kind];
    } else {
      changed = state_.remove(event.key) || changed;
      if (known_.erase(event.key) != 0) --objects_by_kind_[event.key.kind];
    }
  }
  parts_.metrics.set_objects(objects_by_kind_);
  parts_.metrics.set_skipped_documents(batch.skipped_documents);
  source_findings_ = findings_of(batch.problems);
  const bool first = batch.synced && !synced_;
  synced_ = synced_ || batch.synced;
  answered_.insert(batch.answered.begin(), batch.answered.end());
  if (changed || first || (is_dirty_ && !batch.answered.empty())) {
    is_dirty_ = true;
    retry_at_ = {};
  }
  tell_findings(report_);
}

std::optional<Monotonic> Reconciler::due() const {
  if (!synced_) return std::nullopt;
  return std::min(poll_at_, is_dirty_ ? retry_at_ : translate_at_);
}

void Reconciler::work() {
  if (!synced_) return;
  const Monotonic now = parts_.clock.now();
  if (now >= (is_dirty_ ? retry_at_ : translate_at_)) {
    publish();
  } else if (now >= poll_at_) {
    poll();
  }
}

void Reconciler::publish() {
  started_ = parts_.clock.now();
  translate_at_ = started_ + kTranslateAgain;
  translate::Output output =
      translate::translate(state_, last_good_, options_, parts_.clock.unix_now());
  if (must_wait_for(output.references)) return;
  was_published_ = true;
  add_own_ticket_keys(output);
  report_ = std::move(output.report);
  tell_findings(report_);
  tell_routes(output.shards);

  const publish::Content content{std::move(output.shards), std::move(output.default_certificate),
                                 std::move(output.files)};
  const Outcome outcome = parts_.publisher.publish(content);
  written_items_.reset();
  if (outcome.kind != Outcome::Kind::Failed) written_items_ = std::move(output.items);
  settle(outcome);
  if (outcome.kind != Outcome::Kind::Unchanged) {
    parts_.metrics.count_publish(result_word(outcome.kind));
  }
}

// Whether the source has to look for something first; then it is clear when to go on.
bool Reconciler::must_wait_for(const std::set<objects::ObjectKey>& references) {
  if (parts_.source == nullptr || delivers_everything_) return false;
  std::erase_if(answered_,
                [&](const objects::ObjectKey& key) { return !references.contains(key); });
  if (!was_published_ || references != references_) {
    references_ = references;
    delivers_everything_ = parts_.source->want(references);
    if (delivers_everything_) return false;
  }
  std::set<objects::ObjectKey> missing;
  std::ranges::set_difference(references, answered_, std::inserter(missing, missing.end()));
  std::erase_if(late_, [&](const objects::ObjectKey& key) { return !missing.contains(key); });
  const Monotonic now = parts_.clock.now();
  if (!missing.empty() && !wait_until_) wait_until_ = now + kMostWait;
  if (missing.empty() || (was_published_ && (!late_.empty() || now >= *wait_until_))) {
    late_ = std::move(missing);
    wait_until_.reset();
    return false;
  }
  is_dirty_ = true;
  retry_at_ = was_published_ ? *wait_until_ : now + kTranslateAgain;
  if (!was_published_) poll_at_ = retry_at_;
  return true;
}

// Where no Secret has any, and sessions are to be taken up.
void Reconciler::add_own_ticket_keys(translate::Output& output) {
  if (parts_.ring == nullptr) return;
  const UnixSeconds now = parts_.clock.unix_now();
  parts_.ring->rotate(now);
  translate_at_ =
      std::min(translate_at_, started_ + std::chrono::seconds(parts_.ring->due() - now));
  // Shards are sorted by name, and only hosts and what comes after them are others.
  const bool has_front =
      !output.shards.empty() && std::holds_alternative<config::Front>(output.shards.front());
  if (!has_front) output.shards.insert(output.shards.begin(), config::Front{});
  auto& front = std::get<config::Front>(output.shards.front());
  if (front.session_tickets && front.ticket_keys.empty()) {
    const config::FileRef file = parts_.ring->file();
    front.ticket_keys = {file};
    output.files[file.path] = parts_.ring->bytes();
  }
  if (front == config::Front{}) output.shards.erase(output.shards.begin());
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
    is_dirty_ = false;
    backoff_ = kFirstBackoff;
    poll_at_ = now + (outcome.kind == Kind::Pending ? kPollPending : kPollServed);
  }
  // What became current because no proxy was there counts too: a proxy that starts serves it, maybe
  // before it is asked, and a bad update in between must find something good.
  const bool served = outcome.kind == Kind::Acknowledged || outcome.kind == Kind::Unchanged ||
                      (outcome.kind == Kind::Pending && outcome.generation != 0 &&
                       parts_.writer.current() == outcome.generation);
  if (served && written_items_) {
    last_good_ =
        after_acknowledgement(std::move(*written_items_), last_good_,
                              [this](const std::string& path) { return is_on_disk(path); });
    written_items_.reset();
  }
  if (outcome.kind == Kind::Acknowledged) {
    const std::chrono::duration<double> took = now - started_;
    parts_.metrics.set_last_publish(parts_.clock.unix_now(), took.count());
    ready_.store(true, std::memory_order_relaxed);
  }
  tell(outcome);
  tell_last_good();
}

bool Reconciler::is_on_disk(const std::string& directory) const {
  return parts_.writer.has_directory(directory);
}

void Reconciler::tell(const Outcome& outcome) {
  using Kind = Outcome::Kind;
  const std::string generation = std::to_string(outcome.generation);
  for (const config::Rejection& rejection : outcome.replaced) {
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

void Reconciler::tell_findings(const translate::Report& report) {
  translate::Report all = source_findings_;
  all.insert(all.end(), report.begin(), report.end());
  (void)findings_log_.update(all);
  std::map<metrics::Metrics::FindingKey, std::size_t> counts;
  for (const translate::Finding& finding : all) {
    ++counts[{std::string(translate::to_string(finding.severity)),
              std::string(to_string(finding.reason))}];
  }
  parts_.metrics.set_findings(counts);
}

void Reconciler::tell_routes(const std::vector<config::Shard>& shards) {
  std::map<std::string_view, const config::UpstreamTls*> policies;
  std::map<std::string_view, const config::Service*> services;
  for (const config::Shard& shard : shards) {
    if (const auto* tls = std::get_if<config::UpstreamTls>(&shard)) policies[tls->name] = tls;
    if (const auto* one = std::get_if<config::Service>(&shard)) services[one->name] = one;
  }
  std::map<std::string, std::size_t> refused;
  std::map<metrics::Metrics::IngressName, std::size_t> insecure;
  for (const config::Shard& shard : shards) {
    const auto* host = std::get_if<config::VirtualHost>(&shard);
    if (host == nullptr) continue;
    for (const config::Route& route : host->routes) {
      const auto policy = policies.find(route.upstream_tls);
      const auto service = services.find(route.service);
      const config::UpstreamTls* tls = policy == policies.end() ? nullptr : policy->second;
      const config::Refusal* refusal = nullptr;
      if (route.refused) {
        refusal = &*route.refused;
      } else if (route.client && route.client->refused) {
        refusal = &*route.client->refused;
      } else if (tls != nullptr && tls->refused) {
        refusal = &*tls->refused;
      } else if (service != services.end() && service->second->refused) {
        refusal = &*service->second->refused;
      }
      if (refusal != nullptr) {
        ++refused[std::string(to_string(refusal->reason))];
      } else if (tls != nullptr && !tls->verify) {
        ++insecure[{route.ingress_namespace, route.ingress}];
      }
    }
  }
  parts_.metrics.set_routes_refused(refused);
  parts_.metrics.set_routes_insecure(insecure);
}

void Reconciler::tell_last_good() {
  const std::int64_t now = parts_.clock.unix_now();
  std::map<metrics::Metrics::ItemName, std::int64_t> ages;
  for (const auto& [key, item] : last_good_) {
    if (item.bad_since == 0) continue;
    std::string file =
        key.data_key.empty() ? std::string(translate::file_name(key.item)) : key.data_key;
    ages[{key.ns, key.name, std::move(file)}] = std::max<std::int64_t>(now - item.bad_since, 0);
  }
  parts_.metrics.set_last_good_ages(ages);
}

}  // namespace handfast::reconcile
