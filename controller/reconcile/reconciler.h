#pragma once
// What the controller does, without threads and without waiting: takes batches of objects, and when
// something is due translates, publishes and tells.
//
//   take(batch), on_reply(reply) -> work() -> … -> due(): when to call work() again
//
// A round costs what changed since the one before. What a failed round did not do isn't lost: the
// next one works on everything, after 0.5 s, doubling to 30 s, or at the next change.
//
// A source that delivers only what is referred to is told what that is (Source::want()), and a
// round waits until it has looked: a Secret must not pass for missing because nobody asked for it
// before. The first round waits for as long as it takes, later ones at most a second together, so
// that what else has changed, perhaps a revocation, is not held up.
//
// What policies want asked before it takes effect goes through the preflight::Gate, and is asked
// once its files are written.
//
// Threading: one thread's, but for is_ready(). Ownership: borrows its parts.

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "controller/metrics/metrics.h"
#include "controller/preflight/gate.h"
#include "controller/publish/publisher.h"
#include "controller/reconcile/findings_log.h"
#include "controller/reconcile/last_good.h"
#include "controller/reconcile/route_tally.h"
#include "controller/reconcile/ticket_ring.h"
#include "controller/source/source.h"
#include "controller/state/cluster_state.h"
#include "controller/status/status_reporter.h"
#include "controller/translate/translator.h"
#include "proxy/base/clock.h"

namespace handfast::reconcile {

// For a source whose objects have statuses. Borrows its parts.
struct StatusParts {
  status::StatusReporter& reporter;
  publish::ProxyControl& proxy;
  std::function<bool(const objects::ReplicaStatus&)> is_gone;
  std::function<status::Addresses()> node_addresses{};
};

class Reconciler {
 public:
  struct Parts {
    publish::GenerationWriter& writer;
    publish::Publisher& publisher;
    metrics::Metrics& metrics;
    const Clock& clock;
    TicketRing* ring = nullptr;        // null: each proxy makes a key of its own
    source::Source* source = nullptr;  // to tell what is referred to; null: it delivers everything
    StatusParts* status = nullptr;
    preflight::Asker* asker = nullptr;  // null: what is new is promoted unasked
  };

  // `last_good`: of the generation that is current; see last_good.h.
  Reconciler(Parts parts, translate::Options options, translate::LastGood last_good);

  void take(source::Batch batch);
  void on_reply(preflight::Reply reply);

  // Does what is due by now.
  void work();

  // When work() has something to do next; nothing before the source has told all that it has.
  [[nodiscard]] std::optional<Monotonic> due() const;

  // Whether the proxy has acknowledged a generation. Any thread.
  [[nodiscard]] bool is_ready() const { return ready_.load(std::memory_order_relaxed); }

 private:
  void publish();
  void note_references(const translate::Tracer::References& others);
  [[nodiscard]] bool must_wait();
  void add_own_ticket_keys(translate::Change& change);
  void poll();
  void settle(const publish::Outcome& outcome);
  void tell(const publish::Outcome& outcome);
  void ask();
  void tell_preflights();
  void tell_findings(const translate::Report& over, const translate::Report& added);
  void tell_routes(const translate::Change& change);
  void acknowledge_items();
  void tell_last_good();
  void want_status();
  void tell_status();
  [[nodiscard]] bool is_on_disk(const std::string& directory) const;

  Parts parts_;
  state::ClusterState state_;
  translate::LastGood last_good_;
  translate::Translator translator_;
  preflight::Gate gate_;
  // Of what was written, until it is acknowledged or current.
  std::optional<WantedItems> written_items_;
  std::set<objects::ObjectKey> touched_;         // since the last translation
  std::set<translate::ItemKey> kept_last_good_;  // whose newest content is bad

  std::map<std::string, std::size_t> objects_by_kind_;
  translate::Report source_findings_;
  FindingsLog findings_log_;
  RouteTally tally_;

  // Secrets and ConfigMaps that translation asks for, and those of them that the source has not
  // looked for yet.
  std::set<objects::ObjectKey> references_;
  std::set<objects::ObjectKey> missing_;
  std::optional<translate::Change> held_;  // until the source has looked
  bool delivers_everything_ = false;
  bool was_asked_ = false;
  bool was_published_ = false;
  std::optional<Monotonic> wait_until_;
  std::set<objects::ObjectKey> late_;  // that a round went out without

  std::map<std::string, config::Rejection, std::less<>> rejected_;  // by shard
  bool are_ingresses_touched_ = true;                               // since status was told
  Monotonic status_at_ = Monotonic::max();
  Monotonic status_told_{};

  bool synced_ = false;
  bool is_dirty_ = false;
  Monotonic retry_at_{};
  std::chrono::milliseconds backoff_;
  Monotonic poll_at_{};
  Monotonic translate_at_{};
  Monotonic started_{};  // the publish that isn't acknowledged yet
  publish::Outcome::Kind told_kind_ = publish::Outcome::Kind::Unchanged;
  std::string told_detail_;
  std::atomic<bool> ready_{false};
};

}  // namespace handfast::reconcile
