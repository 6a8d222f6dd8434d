#pragma once
// The controller's loop: a source's thread hands in batches, one thread works.
//
// What queues up while a round is under way becomes one batch, by object: the queue is never longer
// than the objects that changed.
//
// Threading: on_batch(), on_reply() and stop() from any thread; run() on one. Ownership: borrows
// the Reconciler, which is run()'s alone while that runs.

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "controller/preflight/asker.h"
#include "controller/reconcile/reconciler.h"
#include "controller/source/source.h"

namespace handfast::reconcile {

class Controller final : public source::Sink {
 public:
  explicit Controller(Reconciler& reconciler) : reconciler_(reconciler) {}

  void on_batch(source::Batch batch) override;
  void on_reply(preflight::Reply reply);

  // Until stop(). A round that is under way ends first.
  void run();
  void stop();

 private:
  struct Queue {
    std::map<objects::ObjectKey, source::Event> events;
    std::vector<objects::ObjectKey> answered;
    source::Batch last;  // everything else
    bool synced = false;
  };
  [[nodiscard]] static source::Batch take(Queue queue);

  Reconciler& reconciler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Queue> queue_;             // guarded by mutex_
  std::vector<preflight::Reply> replies_;  // guarded by mutex_
  bool stopping_ = false;                  // guarded by mutex_
};

}  // namespace handfast::reconcile
