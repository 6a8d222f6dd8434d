#include "controller/reconcile/controller.h"

#include <utility>

namespace handfast::reconcile {

void Controller::on_batch(source::Batch batch) {
  {
    const std::lock_guard lock{mutex_};
    if (!queue_) queue_.emplace();
    queue_->synced = queue_->synced || batch.synced;
    for (source::Event& event : batch.events) {
      objects::ObjectKey key = event.key;
      queue_->events.insert_or_assign(std::move(key), std::move(event));
    }
    batch.events.clear();
    queue_->answered.insert(queue_->answered.end(), batch.answered.begin(), batch.answered.end());
    queue_->last = std::move(batch);
  }
  changed_.notify_one();
}

void Controller::on_reply(preflight::Reply reply) {
  {
    const std::lock_guard lock{mutex_};
    replies_.push_back(std::move(reply));
  }
  changed_.notify_one();
}

source::Batch Controller::take(Queue queue) {
  source::Batch batch = std::move(queue.last);
  batch.synced = queue.synced;
  batch.answered = std::move(queue.answered);
  batch.events.reserve(queue.events.size());
  for (auto& [key, event] : queue.events) batch.events.push_back(std::move(event));
  return batch;
}

void Controller::run() {
  while (true) {
    std::optional<Queue> queue;
    std::vector<preflight::Reply> replies;
    {
      std::unique_lock lock{mutex_};
      const auto is_woken = [this] { return stopping_ || queue_.has_value() || !replies_.empty(); };
      if (const auto due = reconciler_.due()) {
        changed_.wait_until(lock, *due, is_woken);
      } else {
        changed_.wait(lock, is_woken);
      }
      if (stopping_) return;
      queue = std::exchange(queue_, std::nullopt);
      replies.swap(replies_);
    }
    for (preflight::Reply& reply : replies) reconciler_.on_reply(std::move(reply));
    if (queue) reconciler_.take(take(std::move(*queue)));
    reconciler_.work();
  }
}

void Controller::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  changed_.notify_one();
}

}  // namespace handfast::reconcile
