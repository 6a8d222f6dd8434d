#pragma once
// Which replicas are gone for good: their entries in statuses are taken out. The API server is
// asked for one pod at a time, by who leads, and not more often than each minute. Of another
// namespace we may not ask, unless somebody permits it: nobody there is gone then.
//
// Threading: is_gone() on one thread; answers come on the Api's. Ownership: borrows api and clock.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "controller/kube/api.h"
#include "proxy/base/clock.h"

namespace handfast::status {

class LivePods {
 public:
  static constexpr std::chrono::seconds kAgain{60};

  LivePods(kube::Api& api, const Clock& clock);
  ~LivePods();
  LivePods(const LivePods&) = delete;
  LivePods& operator=(const LivePods&) = delete;

  // As far as is known; what isn't known is asked, for the next time.
  [[nodiscard]] bool is_gone(const std::string& ns, const std::string& pod);

 private:
  using PodName = std::pair<std::string, std::string>;
  struct Answers;

  kube::Api& api_;
  const Clock& clock_;
  std::map<PodName, Monotonic> asked_;
  std::shared_ptr<Answers> answers_;  // callbacks own it too
};

}  // namespace handfast::status
