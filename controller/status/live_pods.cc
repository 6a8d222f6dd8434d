#include "controller/status/live_pods.h"

#include <mutex>
#include <set>
#include <utility>

#include "controller/kube/resource.h"
#include "controller/objects/json_reader.h"
#include "controller/objects/names.h"

namespace handfast::status {
namespace {

constexpr std::size_t kMaxPodBytes = std::size_t{2} << 20;

// One that was evicted or has finished is kept for people to look at.
bool has_ended(const std::string& body) {
  objects::JsonReader reader{body, 1};
  const auto pod = reader.next();
  const objects::Value* status = pod ? pod->find("status") : nullptr;
  const objects::Value* phase = status == nullptr ? nullptr : status->find("phase");
  return phase != nullptr && (phase->scalar == "Failed" || phase->scalar == "Succeeded");
}

}  // namespace

struct LivePods::Answers {
  std::mutex mutex;
  std::set<PodName> gone;
};

LivePods::LivePods(kube::Api& api, const Clock& clock)
    : api_(api), clock_(clock), answers_(std::make_shared<Answers>()) {}

LivePods::~LivePods() = default;

bool LivePods::is_gone(const std::string& ns, const std::string& pod) {
  // Somebody else's words, which become a part of a request.
  if (!objects::is_dns_label(ns) || !objects::is_dns_subdomain(pod)) return true;
  const PodName name{ns, pod};
  const auto is_known_gone = [this, &name] {
    const std::lock_guard lock(answers_->mutex);
    return answers_->gone.contains(name);
  };
  const Monotonic now = clock_.now();
  const auto asked = asked_.find(name);
  if (asked != asked_.end() && now < asked->second + kAgain) return is_known_gone();
  std::erase_if(asked_, [now](const auto& one) { return now >= one.second + 2 * kAgain; });
  asked_[name] = now;

  kube::Request request;
  request.target = kube::object_path(kube::kPods, 0, ns, pod);
  request.max_bytes = kMaxPodBytes;
  kube::Callbacks callbacks;
  callbacks.on_end = [answers = answers_, name](const kube::Answer& answer) {
    const std::lock_guard lock(answers->mutex);
    if (answer.status == 404 || (answer.status == 200 && has_ended(answer.body))) {
      answers->gone.insert(name);
    } else if (answer.status == 200) {
      answers->gone.erase(name);  // of a StatefulSet one comes back
    }
  };
  (void)api_.send(std::move(request), std::move(callbacks));
  return is_known_gone();
}

}  // namespace handfast::status
