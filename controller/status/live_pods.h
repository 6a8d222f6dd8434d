#pragma once
// Which replicas are gone for good: their entries in statuses are taken out. The API server is
// asked for one pod at a time, by who leads, and not more often than each minute.
//
// Threading: is_gone() on one thread; answers come on the Api's. Ownership: borrows api and clock.

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controller/kube/api.h"
#include "proxy/base/clock.h"

namespace handfast::status {

class LivePods {
 public:
  static constexpr std::chrono::seconds kAgain{60};

  // `ns`: ours.
  LivePods(kube::Api& api, const Clock& clock, std::string ns);
  ~LivePods();
  LivePods(const LivePods&) = delete;
  LivePods& operator=(const LivePods&) = delete;

  // As far as is known; what isn't known is asked, for the next time.
  [[nodiscard]] bool is_gone(const std::string& pod);

 private:
  struct Answers;

  kube::Api& api_;
  const Clock& clock_;
  const std::string ns_;
  std::map<std::string, Monotonic> asked_;
  std::shared_ptr<Answers> answers_;  // callbacks own it too
};

}  // namespace handfast::status
