#pragma once
// Takes questions to the proxy, a few at a time, off the controller's thread: what is slow to
// answer delays nobody but itself.
//
// Questions that something waits for come before those that only want to know.
//
// Threading: ask() from any thread; `ask_proxy` and `on_reply` run on ours. Ownership: what both
// refer to must outlive stop().

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/preflight.h"

namespace handfast::preflight {

struct Question {
  std::string policy;  // UpstreamTls::name
  std::uint64_t number = 0;
  bool is_awaited = false;
  config::PreflightRequest request;
};

struct Reply {
  std::string policy;
  std::uint64_t number = 0;  // of the question
  Result<config::PreflightAnswer> answer;
};

class Asker {
 public:
  virtual ~Asker() = default;
  // There will be one reply.
  virtual void ask(Question question) = 0;
};

class AskerThreads final : public Asker {
 public:
  static constexpr std::size_t kThreads = 4;
  using AskProxy =
      std::function<Result<config::PreflightAnswer>(const config::PreflightRequest& request)>;
  using OnReply = std::function<void(Reply reply)>;

  explicit AskerThreads(AskProxy ask_proxy) : ask_proxy_(std::move(ask_proxy)) {}
  ~AskerThreads() override { stop(); }
  AskerThreads(const AskerThreads&) = delete;
  AskerThreads& operator=(const AskerThreads&) = delete;

  // Before the first question.
  void set_on_reply(OnReply on_reply) { on_reply_ = std::move(on_reply); }
  void ask(Question question) override;
  // Waits for what is under way; what is queued is dropped.
  void stop();

 private:
  void run();

  const AskProxy ask_proxy_;
  OnReply on_reply_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Question> awaited_;
  std::deque<Question> others_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace handfast::preflight
