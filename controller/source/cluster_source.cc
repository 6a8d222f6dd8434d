#include "controller/source/cluster_source.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "controller/kube/reflector.h"
#include "controller/source/cluster_fetches.h"
#include "controller/source/cluster_inbox.h"
#include "controller/source/cluster_kinds.h"

namespace handfast::source {
namespace {

using objects::ObjectKey;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Whole lists under way at once: a controller with 300 namespaces is no storm.
constexpr std::size_t kMostLists = 16;
// Between two attempts to reach a server that can't be reached.
constexpr milliseconds kFirstProbe{800};
constexpr milliseconds kMostProbe{10'000};
constexpr seconds kTellInStep{1};

}  // namespace

// The difference between what was wanted and what is, in order, from one thread to another.
class ClusterSource::Wishes {
 public:
  struct Change {
    bool is_wanted = false;
    ObjectKey key;
  };
  struct Taken {
    std::vector<Change> changes;
    bool is_known = false;  // want() was called at all
  };

  void set(std::set<ObjectKey> references) {
    const std::lock_guard lock{mutex_};
    is_known_ = true;
    for (const ObjectKey& key : references_) {
      if (!references.contains(key)) changes_.push_back({false, key});
    }
    for (const ObjectKey& key : references) {
      if (!references_.contains(key)) changes_.push_back({true, key});
    }
    references_ = std::move(references);
  }

  [[nodiscard]] Taken take() {
    const std::lock_guard lock{mutex_};
    return {std::exchange(changes_, {}), is_known_};
  }

 private:
  std::mutex mutex_;
  std::set<ObjectKey> references_;  // guarded by mutex_, as all below
  std::vector<Change> changes_;
  bool is_known_ = false;
};

// One run().
class ClusterSource::Loop {
 public:
  Loop(const Parts& parts, const Settings& settings, std::shared_ptr<ClusterInbox> inbox,
       Wishes& wishes, Sink& sink)
      : parts_(parts),
        settings_(settings),
        inbox_(std::move(inbox)),
        wishes_(wishes),
        sink_(sink),
        view_(view_scope(settings), settings.timing, parts.clock),
        fetches_(parts.clock, settings.patience) {
    for (const WatchedKind& kind : watched_kinds()) {
      if (!kind.is_on_demand) add_watches(kind);
    }
  }

  void run() {
    while (!inbox_->is_closed()) {
      take_wishes();
      send_requests();
      tell();
      for (ClusterInbox::Note& note : inbox_->take(due())) handle(std::move(note));
    }
  }

 private:
  struct Watch {
    kube::Reflector reflector;
    const WatchedKind& kind;
    std::optional<kube::Api::Id> request;
    bool is_cancelled = false;
  };

  static ClusterView::Scope view_scope(const Settings& settings) {
    return {{settings.namespaces.begin(), settings.namespaces.end()},
            !settings.namespace_selector.empty(),
            {settings.named.begin(), settings.named.end()}};
  }

  [[nodiscard]] Monotonic now() const { return parts_.clock.now(); }

  // --- what is watched ---------------------------------------------------------------------------

  void add_watches(const WatchedKind& kind) {
    for (kube::Scope& scope :
         scopes_of(kind, settings_.namespaces, settings_.namespace_selector, settings_.named)) {
      watches_.push_back({kube::Reflector(kind.resource, std::move(scope), view_, parts_.random),
                          kind, std::nullopt, false});
    }
  }

  [[nodiscard]] static bool is_refused(const Watch& watch) {
    const auto& trouble = watch.reflector.trouble();
    return trouble && trouble->status == 403;
  }

  [[nodiscard]] bool is_settled(const Watch& watch) const {
    return watch.reflector.is_synced() ||
           (watch.kind.may_be_refused && is_refused(watch) &&
            now() - watch.reflector.trouble()->since >= settings_.patience);
  }

  [[nodiscard]] bool are_settled(bool is_on_demand) const {
    return std::ranges::all_of(watches_, [&](const Watch& watch) {
      return watch.kind.is_on_demand != is_on_demand || is_settled(watch);
    });
  }

  Watch* find_watch(const ObjectKey& key) {
    const auto found = std::ranges::find_if(watches_, [&](const Watch& watch) {
      const kube::Scope& scope = watch.reflector.scope();
      return watch.kind.resource.kind == key.kind && (scope.ns.empty() || scope.ns == key.ns) &&
             (!is_single(scope) || scope.field_selector == single_selector(key.name));
    });
    return found == watches_.end() ? nullptr : &*found;
  }

  // --- what is wanted ----------------------------------------------------------------------------

  void take_wishes() {
    Wishes::Taken taken = wishes_.take();
    for (const Wishes::Change& change : taken.changes) {
      if (change.is_wanted) {
        begin_to_want(change.key);
      } else {
        stop_wanting(change.key);
      }
    }
    for (const ObjectKey& key : view_.take_uncovered()) {
      // What the watch has told of it meanwhile was dropped.
      if (Watch* const watch = find_watch(key)) watch->reflector.forget(key);
      fetches_.add(key);
    }
    if (taken.is_known && is_synced_ && !is_demand_known_) {
      is_demand_known_ = true;
      for (const WatchedKind& kind : watched_kinds()) {
        if (kind.is_on_demand) add_watches(kind);
      }
    }
    if (is_demand_known_ && !is_demand_met_ && are_settled(/*is_on_demand=*/true)) {
      is_demand_met_ = true;
      for (const ObjectKey& key : view_.wanted()) {
        if (!fetches_.contains(key)) view_.answer(key);
      }
    }
  }

  void begin_to_want(const ObjectKey& key) {
    view_.enter(key);
    // Before the lists begin they bring it along.
    if (!is_demand_known_) return;
    if (!view_.covers(key)) return view_.answer(key);
    fetches_.add(key);
  }

  void stop_wanting(const ObjectKey& key) {
    view_.leave(key);
    fetches_.remove(key);
    if (Watch* const watch = find_watch(key)) watch->reflector.forget(key);
  }

  // --- requests ----------------------------------------------------------------------------------

  void send_requests() {
    const Monotonic at = now();
    if (is_unreachable_ && !probe_ && at >= probe_at_) choose_probe(at);
    std::size_t under_way = lists();
    for (std::size_t n = 0; n < watches_.size(); ++n) {
      Watch& watch = watches_[n];
      if (watch.request) {
        if (watch.reflector.is_silent(at)) cancel(watch);
        continue;
      }
      const bool is_list = watch.reflector.will_list();
      if (is_list && under_way >= kMostLists) continue;
      auto request = watch.reflector.take_request(at);
      if (!request) continue;
      if (is_list) ++under_way;
      watch.is_cancelled = false;
      watch.request = send(n, std::move(*request));
    }
    if (is_demand_met_ && !is_unreachable_) {
      while (send_fetch(at)) {
      }
    }
    for (const kube::Api::Id id : fetches_.take_silent(at)) parts_.api.cancel(id);
  }

  // Answers its number, if one is due.
  std::optional<std::uint64_t> send_fetch(Monotonic at) {
    auto request = fetches_.take_request(at);
    if (!request) return std::nullopt;
    const std::uint64_t who = kFetches + request->number;
    fetches_.on_sent(request->number, send(who, std::move(request->request)));
    return who;
  }

  [[nodiscard]] std::size_t lists() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        watches_, [](const Watch& watch) { return watch.reflector.is_listing(); }));
  }

  // In turns with a fetch, if one is due: neither may wait for one of the others that hangs.
  void choose_probe(Monotonic at) {
    if (!std::exchange(was_fetch_probe_, false) && is_demand_met_) {
      probe_ = send_fetch(at);
      was_fetch_probe_ = probe_.has_value();
      if (was_fetch_probe_) return;
    }
    for (std::size_t n = 0; n < watches_.size(); ++n) {
      if (!watches_[n].reflector.is_waiting_for_server()) continue;
      watches_[n].reflector.try_server(at);
      probe_ = n;
      return;
    }
    is_unreachable_ = false;
  }

  kube::Api::Id send(std::uint64_t who, kube::Request request) {
    using Note = ClusterInbox::Note;
    kube::Callbacks callbacks;
    callbacks.on_open = [inbox = inbox_, who] { inbox->put({Note::Kind::Open, who, {}, {}}); };
    callbacks.on_line = [inbox = inbox_, who](std::string line) {
      inbox->put({Note::Kind::Line, who, std::move(line), {}});
    };
    callbacks.on_end = [inbox = inbox_, who](kube::Answer answer) {
      inbox->put({Note::Kind::End, who, {}, std::move(answer)});
    };
    return parts_.api.send(std::move(request), std::move(callbacks));
  }

  void cancel(Watch& watch) {
    if (std::exchange(watch.is_cancelled, true)) return;
    parts_.api.cancel(*watch.request);
  }

  // --- answers -----------------------------------------------------------------------------------

  void handle(ClusterInbox::Note note) {
    using Kind = ClusterInbox::Note::Kind;
    const Monotonic at = now();
    if (note.kind == Kind::End) {
      if (parts_.observer != nullptr) parts_.observer->on_answer(note.answer.status);
      on_server(note.who, note.answer.status != 0, at);
    } else if (note.kind == Kind::Open) {
      on_server(note.who, true, at);
    }
    if (note.who >= kFetches) {
      if (note.kind == Kind::End) on_fetched(note.who - kFetches, note.answer, at);
      return;
    }
    Watch& watch = watches_[note.who];
    const std::uint64_t lists = watch.reflector.lists();
    tell_watch(watch, note, at);
    // The answer to what was asked for before must not bring back what has gone since.
    for (const ObjectKey& key : view_.take_gone()) fetches_.renew(key);
    if (watch.reflector.lists() != lists) fetches_.renew_all(watch.kind.resource.kind);
  }

  void tell_watch(Watch& watch, const ClusterInbox::Note& note, Monotonic at) {
    using Kind = ClusterInbox::Note::Kind;
    switch (note.kind) {
      case Kind::Open:
        return watch.reflector.on_open(at);
      case Kind::Line:
        // What comes after a line that can't be, or after its time, is nobody's.
        if (!watch.is_cancelled && !watch.reflector.on_line(note.line, at)) cancel(watch);
        return;
      case Kind::End:
        watch.request.reset();
        watch.reflector.on_end(note.answer, at);
        return;
    }
  }

  void on_server(std::uint64_t who, bool is_there, Monotonic at) {
    const bool was_probe = probe_ == who;
    if (was_probe) probe_.reset();
    if (is_there) {
      if (!std::exchange(is_unreachable_, false)) return;
      for (Watch& watch : watches_) watch.reflector.on_reachable(at);
    } else if (!std::exchange(is_unreachable_, true)) {
      probe_delay_ = kFirstProbe;
      wait_to_probe(at);
    } else if (was_probe) {
      probe_delay_ = std::min(2 * probe_delay_, kMostProbe);
      wait_to_probe(at);
    }
  }

  void wait_to_probe(Monotonic at) {
    probe_at_ =
        at + std::chrono::duration_cast<milliseconds>(probe_delay_ * (0.5 + 0.5 * parts_.random()));
  }

  void on_fetched(std::uint64_t number, const kube::Answer& answer, Monotonic at) {
    auto fetched = fetches_.on_end(number, answer, at, parts_.random());
    if (!fetched) return;
    Watch* const watch = find_watch(fetched->key);
    if (fetched->was_refused) view_.on_good(fetched->key);
    if (fetched->item) {
      const bool is_news =
          watch == nullptr || watch->reflector.adopt(fetched->key, fetched->item->resource_version);
      if (is_news) {
        objects::Decoded decoded = kube::decode(*fetched->item);
        for (objects::Object& one : decoded.objects) view_.on_object(fetched->key, std::move(one));
        if (!decoded.problems.empty()) view_.on_bad(fetched->key, std::move(decoded.problems));
      }
    }
    if (fetched->problem) view_.on_bad(fetched->key, {*fetched->problem});
    view_.answer(fetched->key);
  }

  // --- what is told ------------------------------------------------------------------------------

  void tell() {
    const Monotonic at = now();
    view_.set_troubles(troubles(at));
    const bool was_synced = is_synced_;
    is_synced_ = is_synced_ || are_settled(/*is_on_demand=*/false);
    const auto batch_due = view_.due();
    if (is_synced_ != was_synced || (batch_due && at >= *batch_due)) {
      sink_.on_batch(view_.take_batch(is_synced_));
    }
    tell_in_step(at);
  }

  [[nodiscard]] std::vector<objects::Decoded::Problem> troubles(Monotonic at) const {
    std::vector<objects::Decoded::Problem> all;
    for (const Watch& watch : watches_) {
      const auto& trouble = watch.reflector.trouble();
      if (!trouble || is_told_to_nobody(watch)) continue;
      if (at - trouble->since < settings_.patience) continue;
      objects::Decoded::Problem problem = to_problem(watch.kind, watch.reflector);
      // A server that is away is one problem, not one for each watch.
      if (std::ranges::find(all, problem) == all.end()) all.push_back(std::move(problem));
    }
    return all;
  }

  // Roles alone can't give what is in no namespace: docs/kubernetes.md says what goes without.
  [[nodiscard]] bool is_told_to_nobody(const Watch& watch) const {
    return !settings_.namespaces.empty() && !watch.kind.resource.is_namespaced &&
           watch.kind.may_be_refused && is_refused(watch);
  }

  void tell_in_step(Monotonic at) {
    if (parts_.observer == nullptr || at - told_in_step_at_ < kTellInStep) return;
    std::optional<Monotonic> least;
    for (const Watch& watch : watches_) {
      const auto heard = watch.reflector.last_heard_well();
      if (!heard) {
        if (watch.kind.may_be_refused) continue;
        return;
      }
      if (!least || *heard < *least) least = heard;
    }
    if (!least || *least == told_in_step_) return;
    told_in_step_ = *least;
    told_in_step_at_ = at;
    parts_.observer->on_in_step(parts_.clock.unix_now() -
                                std::chrono::duration_cast<seconds>(at - *least).count());
  }

  [[nodiscard]] Monotonic due() const {
    Monotonic next = now() + kTellInStep;
    const bool is_full = lists() >= kMostLists;
    for (const Watch& watch : watches_) {
      // One that waits for a place among the lists is woken by the end of another.
      if (watch.request || !is_full || !watch.reflector.will_list()) {
        next = std::min(next, watch.reflector.due());
      }
    }
    if (is_unreachable_ && !probe_) next = std::min(next, probe_at_);
    if (is_demand_met_ && !is_unreachable_) next = std::min(next, fetches_.due());
    if (const auto batch = view_.due()) next = std::min(next, *batch);
    return next;
  }

  // Numbers of fetches begin here, those of watches at 0.
  static constexpr std::uint64_t kFetches = std::uint64_t{1} << 32;

  const Parts& parts_;
  const Settings& settings_;
  const std::shared_ptr<ClusterInbox> inbox_;
  Wishes& wishes_;
  Sink& sink_;
  ClusterView view_;
  std::deque<Watch> watches_;  // each stays where it is
  ClusterFetches fetches_;

  bool is_synced_ = false;        // but for what is on demand
  bool is_demand_known_ = false;  // the watches of Secrets and ConfigMaps have begun
  bool is_demand_met_ = false;    // and have seen everything

  bool is_unreachable_ = false;
  std::optional<std::uint64_t> probe_;  // the watch or the fetch that tries
  bool was_fetch_probe_ = false;
  Monotonic probe_at_{};
  milliseconds probe_delay_{kFirstProbe};

  Monotonic told_in_step_{};
  Monotonic told_in_step_at_{};
};

ClusterSource::ClusterSource(Parts parts, Settings settings)
    : parts_(std::move(parts)),
      settings_(std::move(settings)),
      inbox_(std::make_shared<ClusterInbox>()),
      wishes_(std::make_unique<Wishes>()) {}

ClusterSource::~ClusterSource() = default;

void ClusterSource::run(Sink& sink) { Loop(parts_, settings_, inbox_, *wishes_, sink).run(); }

void ClusterSource::stop() { inbox_->close(); }

bool ClusterSource::want(std::set<ObjectKey> references) {
  wishes_->set(std::move(references));
  inbox_->wake();
  return false;
}

}  // namespace handfast::source
