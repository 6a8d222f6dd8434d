#include "controller/preflight/asker.h"

namespace handfast::preflight {

void AskerThreads::ask(Question question) {
  {
    const std::lock_guard lock{mutex_};
    if (stopping_) return;
    (question.is_awaited ? awaited_ : others_).push_back(std::move(question));
    if (awaited_.size() + others_.size() > idle_ && threads_.size() < kThreads) {
      threads_.emplace_back([this] { run(); });
    }
  }
  wake_.notify_one();
}

void AskerThreads::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void AskerThreads::run() {
  while (true) {
    Question question;
    {
      std::unique_lock lock{mutex_};
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !awaited_.empty() || !others_.empty(); });
      --idle_;
      if (stopping_) return;
      std::deque<Question>& queue = awaited_.empty() ? others_ : awaited_;
      question = std::move(queue.front());
      queue.pop_front();
    }
    auto answer = ask_proxy_(question.request);
    on_reply_({std::move(question.policy), question.number, std::move(answer)});
  }
}

}  // namespace handfast::preflight
