#pragma once
// Takes questions to the proxy, a few at a time, off the controller's thread: what is slow to
// answer delays nobody but itself.
//
// Questions that something waits for come before those that only want to know.
//
// Threading: ask() from any thread; `ask_proxy` and `on_reply` run on a crew's. Ownership: what
// both refer to must outlive stop().

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "proxy/base/crew.h"
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

  // Before the first question.
  void set_on_reply(OnReply on_reply) { on_reply_ = std::move(on_reply); }
  void ask(Question question) override;
  // Waits for what is under way; what is queued is dropped.
  void stop() { crew_.stop(); }

 private:
  const AskProxy ask_proxy_;
  OnReply on_reply_;
  Crew crew_{kThreads};
};

}  // namespace handfast::preflight
