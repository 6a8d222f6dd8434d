#include "controller/status/keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "controller/kube/resource.h"
#include "controller/objects/json_reader.h"
#include "proxy/base/log.h"

namespace handfast::status {
namespace {

constexpr std::chrono::seconds kTimeoutAlone{10};
constexpr std::chrono::seconds kNoWait{0};
constexpr const char* kMergePatch = "application/merge-patch+json";
constexpr kube::Resource kLeases{
    .kind = "Lease", .plural = "leases", .group = "coordination.k8s.io", .versions = {"v1"}};

LeaderElection::Answer to_answer(const kube::Answer& answer) {
  using Kind = LeaderElection::Answer::Kind;
  if (answer.status == 404) return {Kind::NotFound};
  if (answer.status == 409) return {Kind::Conflict};
  if (answer.status != 200 && answer.status != 201) return {Kind::Failed};
  objects::JsonReader reader{answer.body, 1};
  const auto object = reader.next();
  if (!object) return {Kind::Failed};
  auto lease = parse_lease(*object);
  if (!lease) return {Kind::Failed};
  return {Kind::Ok, *std::move(lease)};
}

WriteQueue::Outcome to_outcome(const Write& write, int status) {
  using Outcome = WriteQueue::Outcome;
  if (status >= 200 && status < 300) return Outcome::Written;
  // Somebody has made it already: an Event that another replica or an earlier run told.
  if (status == 409 && write.method == "POST") return Outcome::Written;
  if (status == 404) return Outcome::Gone;
  if (status == 0 || status == 401 || status == 409 || status == 429 || status >= 500) {
    return Outcome::Retry;
  }
  return Outcome::Refused;
}

}  // namespace

Keeper::Keeper(kube::Api& api, const Clock& clock, std::optional<LeaderElection::Settings> election)
    : api_(api), clock_(clock), settings_(std::move(election)) {
  timeout_ = settings_ ? std::chrono::milliseconds{settings_->ttl} / 4 : kTimeoutAlone;
  if (settings_) election_.emplace(*settings_);
}

bool Keeper::leads_locked() const { return !election_ || election_->leads(clock_.now()); }

bool Keeper::leads() const {
  const std::lock_guard lock(mutex_);
  return !stopping_ && leads_locked();
}

void Keeper::want(Write write) {
  const std::lock_guard lock(mutex_);
  queue_.want(std::move(write), clock_.now());
  changed_.notify_one();
}

void Keeper::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  queue_.forget(key);
}

void Keeper::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

void Keeper::run() {
  Lock lock(mutex_);
  while (!stopping_) {
    step(lock);
    cancel_late(lock);
    if (!stopping_) changed_.wait_until(lock, wake_at());
  }
  // A renewal under way would take the lease again.
  wait_for_answers(lock);
  release(lock);
  wait_for_answers(lock);
}

void Keeper::wait_for_answers(Lock& lock) {
  while (!under_way_.empty()) {
    cancel_late(lock);
    Monotonic first = Monotonic::max();
    for (const auto& [number, one] : under_way_) {
      if (!one.is_cancelled) first = std::min(first, one.deadline);
    }
    if (under_way_.empty()) return;
    if (first == Monotonic::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, first);
    }
  }
}

// Those end at once then, and are answered like all.
void Keeper::cancel_late(Lock& lock) {
  std::vector<kube::Api::Id> late;
  for (auto& [number, one] : under_way_) {
    if (one.is_cancelled || !one.id || clock_.now() < one.deadline) continue;
    one.is_cancelled = true;
    late.push_back(*one.id);
  }
  if (late.empty()) return;
  lock.unlock();
  for (const kube::Api::Id id : late) api_.cancel(id);
  lock.lock();
}

// An answer may come before send() has returned.
void Keeper::send(Lock& lock, kube::Request request,
                  std::function<void(const kube::Answer&)> done) {
  const std::uint64_t number = ++last_request_;
  under_way_[number].deadline = clock_.now() + timeout_;
  lock.unlock();
  kube::Callbacks callbacks;
  callbacks.on_end = [this, number, done = std::move(done)](const kube::Answer& answer) {
    const std::lock_guard inner(mutex_);
    under_way_.erase(number);
    done(answer);
    changed_.notify_all();
  };
  const kube::Api::Id id = api_.send(std::move(request), std::move(callbacks));
  lock.lock();
  if (const auto found = under_way_.find(number); found != under_way_.end()) found->second.id = id;
}

Monotonic Keeper::wake_at() const {
  const Monotonic now = clock_.now();
  Monotonic at = now + std::chrono::hours{1};
  if (election_) at = std::min(at, election_->due());
  if (election_ && election_->leads(now)) at = std::min(at, election_->leads_until());
  const auto due = queue_.due(leads_locked());
  if (due && !queue_.is_full()) at = std::min(at, *due);
  for (const auto& [number, one] : under_way_) {
    if (!one.is_cancelled) at = std::min(at, one.deadline);
  }
  return at;
}

void Keeper::step(Lock& lock) {
  while (!stopping_ && (send_election(lock) || send_write(lock))) {
  }
  tell_lead();
}

void Keeper::tell_lead() {
  const bool leads = leads_locked();
  if (!election_ || leads == told_lead_) return;
  told_lead_ = leads;
  log(LogLevel::Info, leads ? "this replica writes status now" : "this replica writes no status",
      {{"lease", settings_->ns + '/' + settings_->name}, {"identity", settings_->identity}});
}

bool Keeper::send_election(Lock& lock) {
  if (!election_) return false;
  auto request = election_->next(clock_.now(), clock_.unix_now());
  if (!request) return false;
  using Verb = LeaderElection::Request::Verb;
  kube::Request to_send;
  to_send.target = request->verb == Verb::Create
                       ? kube::collection_path(kLeases, 0, settings_->ns)
                       : kube::object_path(kLeases, 0, settings_->ns, settings_->name);
  to_send.method = request->verb == Verb::Get      ? "GET"
                   : request->verb == Verb::Create ? "POST"
                                                   : "PATCH";
  to_send.content_type = request->verb == Verb::Patch ? kMergePatch : "application/json";
  to_send.body = std::move(request->body);
  send(lock, std::move(to_send), [this](const kube::Answer& answer) {
    election_->on_answer(to_answer(answer), clock_.now());
  });
  return true;
}

bool Keeper::send_write(Lock& lock) {
  auto write = queue_.next(clock_.now(), leads_locked());
  if (!write) return false;
  kube::Request to_send;
  to_send.method = write->method;
  to_send.target = write->path;
  to_send.content_type = write->content_type;
  to_send.body = write->body;
  send(lock, std::move(to_send), [this, write = *std::move(write)](const kube::Answer& answer) {
    take_write_answer(write, answer);
  });
  return true;
}

void Keeper::take_write_answer(const Write& write, const kube::Answer& answer) {
  const auto outcome = to_outcome(write, answer.status);
  queue_.on_answer(write.key, outcome, clock_.now(), answer.retry_after.value_or(kNoWait));
  if (outcome != WriteQueue::Outcome::Refused) return;
  log(LogLevel::Warning, "the API server refuses a status; it is tried again in a minute",
      {{"path", write.path},
       {"status", std::to_string(answer.status)},
       {"detail", std::string_view(answer.body).substr(0, 300)}});
}

// So that the next leader needn't wait for the lease to run out.
void Keeper::release(Lock& lock) {
  if (!election_) return;
  auto request = election_->release(clock_.unix_now());
  if (!request) return;
  kube::Request to_send;
  to_send.method = "PATCH";
  to_send.target = kube::object_path(kLeases, 0, settings_->ns, settings_->name);
  to_send.content_type = kMergePatch;
  to_send.body = std::move(request->body);
  send(lock, std::move(to_send), [](const kube::Answer&) {});
}

}  // namespace handfast::status
