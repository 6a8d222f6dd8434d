#include "controller/preflight/asker.h"

namespace handfast::preflight {

void AskerThreads::ask(Question question) {
  const bool is_awaited = question.is_awaited;
  crew_.post(
      [this, question = std::move(question)] {
        on_reply_({question.policy, question.number, ask_proxy_(question.request)});
      },
      is_awaited);
}

}  // namespace handfast::preflight
