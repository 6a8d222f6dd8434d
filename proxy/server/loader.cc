#include "proxy/server/loader.h"

#include <malloc.h>

#include <chrono>
#include <filesystem>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "proxy/base/log.h"
#include "proxy/tls/contexts.h"

namespace handfast::server {
namespace {

// Some megabytes: what reading less leaves behind isn't worth a walk through the heap.
constexpr std::size_t kManyShards = 1'000;
constexpr std::size_t kManyBytes = 2 << 20;

std::string root_of(const Loader::Source& source) {
  if (source.file.empty()) return source.state_directory;
  const std::size_t slash = source.file.rfind('/');
  return slash == std::string::npos ? "." : source.file.substr(0, slash);
}

// Counts down once per worker; the loader waits for zero.
class Latch {
 public:
  explicit Latch(std::size_t count) : count_(count) {}
  void arrive() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) wake_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::size_t count_;
};

}  // namespace

Loader::Loader(Source source, const Clock& clock, RouteMetrics& route_metrics,
               ProcessMetrics& process_metrics,
               std::shared_ptr<const pki::Identity> default_certificate)
    : source_(std::move(source)),
      clock_(clock),
      process_metrics_(process_metrics),
      route_metrics_(route_metrics),
      default_certificate_(std::move(default_certificate)),
      materials_(root_of(source_), clock),
      reader_(source_.state_directory, materials_, route_metrics, default_certificate_) {}

Loader::~Loader() { stop(); }

void Loader::start() {
  thread_ = std::thread([this] { run(); });
}

void Loader::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Loader::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_all();
}

void Loader::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // drops what it held here, outside the lock
    lock.lock();
  }
}

std::shared_ptr<const route::Snapshot> Loader::served() const {
  const std::lock_guard lock(mutex_);
  return served_;
}

void Loader::load(std::uint64_t number, Done done) {
  post([this, number, done = std::move(done)] {
    load_now(number, done, OnBadShard::RejectGeneration);
  });
}

void Loader::look(bool forced) {
  post([this, forced] {
    if (!source_.file.empty()) {
      if (forced || served() == nullptr) load_file();
      return;
    }
    const auto current = reader_.current();
    if (!current) return;  // no generation yet
    const bool moved = last_seen_current_ != *current;
    last_seen_current_ = *current;
    const auto present = served();
    if (present != nullptr && (present->generation == *current || !(moved || forced))) return;
    // `current` follows the acknowledgement: it may still name the one before what is served, and
    // the trust that the newer one took away must not come back.
    if (present != nullptr && *current < present->generation && !forced) return;
    // At start nobody else may come: whatever can be served is served, the rest answers 503.
    load_now(
        *current, [](const config::LoadAnswer&) {},
        present == nullptr ? OnBadShard::RefuseShard : OnBadShard::RejectGeneration);
  });
}

void Loader::load_now(std::uint64_t number, const Done& done, OnBadShard on_bad) {
  const Monotonic began = clock_.now();
  auto present = served();
  if (present != nullptr && present->generation == number) {
    // Asked for again, by a controller that came later: it must hear what is refused.
    done({number, refused_at_start_});
    return;
  }
  GenerationReader::Outcome outcome = reader_.read(number, present, on_bad);
  const bool served_now = publish(outcome, began);
  if (served_now) {
    reader_.accept();
    refused_at_start_ = outcome.rejected;
  }
  report(outcome.rejected, number);
  done({served_now ? number : (present == nullptr ? 0 : present->generation), outcome.rejected});
  const bool is_large =
      materials_.take_bytes_parsed() >= kManyBytes || outcome.shards_read >= kManyShards;
  if (!is_large) return;
  outcome = {};
  present = nullptr;
  // After what the workers have handed over to be dropped.
  post([] { ::malloc_trim(0); });
}

void Loader::load_file() {
  const Monotonic began = clock_.now();
  const auto present = served();
  GenerationReader::Outcome outcome =
      read_standalone(source_.file, present == nullptr ? 1 : present->generation + 1, materials_,
                      route_metrics_, default_certificate_, present.get());
  publish(outcome, began);
  report(outcome.rejected, 0);
}

bool Loader::publish(GenerationReader::Outcome& outcome, Monotonic began) {
  const auto seconds = [&] { return std::chrono::duration<double>(clock_.now() - began).count(); };
  if (outcome.publication.snapshot == nullptr) {
    process_metrics_.on_load(false, seconds(), 0);
    return false;
  }
  const std::uint64_t generation = outcome.publication.snapshot->generation;
  const auto latch = std::make_shared<Latch>(workers_.size());
  for (Worker* worker : workers_) {
    worker->publish(outcome.publication, [latch] { latch->arrive(); });
  }
  latch->wait();
  sweep(outcome.publication);
  process_metrics_.forget_services(outcome.publication.changes->services_gone);
  {
    const std::lock_guard lock(mutex_);
    std::swap(served_, outcome.publication.snapshot);  // the old one is dropped with the outcome
  }
  process_metrics_.on_load(true, seconds(), generation);
  log(LogLevel::Info, "generation served",
      {{"generation", std::to_string(generation)}, {"seconds", std::to_string(seconds())}});
  return true;
}

// A connection that lives on under a policy that is gone may still bring a ticket; the next sweep
// finds it.
void Loader::sweep(const Publication& publication) {
  const Changes& changes = *publication.changes;
  const bool all_remain = changes.policies.empty();
  std::unordered_set<std::string_view> keys;
  for (const auto& bucket : publication.snapshot->buckets) {
    if (all_remain || bucket == nullptr) continue;
    for (const auto& [name, policy] : bucket->policies) keys.insert(policy->key);
  }
  if (sessions_ != nullptr) {
    const UnixSeconds now = clock_.unix_now();
    sessions_->drop_if([&](std::string_view key, const tls::StoredSession& stored) {
      return stored.use_until <= now || (!all_remain && !keys.contains(tls::policy_key_in(key)));
    });
  }
  if (handshakes_ != nullptr) {
    if (!all_remain) handshakes_->forget_policies_but(keys);
    handshakes_->forget_endpoints(changes.services_put, *publication.snapshot);
    handshakes_->forget_endpoints(changes.services_gone, *publication.snapshot);
  }
}

std::optional<RefusedLoad> Loader::last_refused() const {
  const std::lock_guard lock(mutex_);
  return last_refused_;
}

void Loader::report(const std::vector<config::Rejection>& rejected, std::uint64_t number) {
  if (rejected.empty()) return;
  RefusedLoad refused{number, clock_.unix_now(), rejected, rejected.size()};
  if (refused.rejected.size() > RefusedLoad::kMost) refused.rejected.resize(RefusedLoad::kMost);
  {
    const std::lock_guard lock(mutex_);
    last_refused_ = std::move(refused);
  }
  for (const config::Rejection& rejection : rejected) {
    log(LogLevel::Error, "part of a generation can't be loaded",
        {{"generation", std::to_string(number)},
         {"shard", rejection.shard},
         {"field", rejection.field},
         {"file", rejection.file},
         {"reason", to_string(rejection.reason)},
         {"detail", rejection.detail}});
  }
}

}  // namespace handfast::server
