#pragma once
// The thread that reads generations, has every worker serve them, and drops what is no longer used.
//
// Loads are done one after the other. A load is acknowledged only when every worker has swapped; a
// rejected one leaves everything as it was. The same thread judges chains of live connections and
// frees old snapshots, so that no event loop ever does either.
//
// Threading: post(), load() and served() from any thread.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "proxy/config/control.h"
#include "proxy/server/generation_reader.h"
#include "proxy/server/last_handshakes.h"
#include "proxy/server/snapshot_builder.h"
#include "proxy/server/worker.h"
#include "proxy/tls/session_store.h"

namespace handfast::server {

// What wasn't taken of a generation.
struct RefusedLoad {
  static constexpr std::size_t kMost = 100;

  std::uint64_t generation = 0;  // 0: a file of --config
  UnixSeconds time = 0;
  std::vector<config::Rejection> rejected;  // kMost of them at most
  std::size_t rejected_total = 0;
};

class Loader {
 public:
  // Exactly one of the two is set: a state directory, or a configuration in one file.
  struct Source {
    std::string state_directory;
    std::string file;
  };

  Loader(Source source, const Clock& clock, RouteMetrics& route_metrics,
         ProcessMetrics& process_metrics, std::shared_ptr<const pki::Identity> default_certificate);
  ~Loader();

  // Before anything is loaded.
  void set_workers(std::vector<Worker*> workers) { workers_ = std::move(workers); }
  // Swept of what each generation leaves without a use. Outlives the thread.
  void set_sessions(tls::SessionStore* sessions) { sessions_ = sessions; }
  // Told which Services and policies ended. Outlives the thread.
  void set_handshakes(LastHandshakes* handshakes) { handshakes_ = handshakes; }
  void start();
  void stop();  // joins; what was posted before still runs

  void post(std::function<void()> task);

  using Done = std::function<void(config::LoadAnswer)>;
  // Loads generation `number`; `done` runs on the loader's thread.
  void load(std::uint64_t number, Done done);
  // Looks whether `current` (or the file) is other than what is served, and loads it then.
  void look(bool forced);

  // What every worker serves; null before the first generation. Never dropped by the caller's
  // thread alone: hand it back with post() if it may be the last reference.
  [[nodiscard]] std::shared_ptr<const route::Snapshot> served() const;

  // The last load of which something wasn't taken.
  [[nodiscard]] std::optional<RefusedLoad> last_refused() const;

 private:
  void run();
  void load_now(std::uint64_t number, const Done& done, OnBadShard on_bad);
  void load_file();
  bool publish(GenerationReader::Outcome& outcome, Monotonic began);
  // Drops what was learned of backends under policies, or at endpoints, that are no more.
  void sweep(const Publication& publication);
  void report(const std::vector<config::Rejection>& rejected, std::uint64_t number);

  Source source_;
  const Clock& clock_;
  ProcessMetrics& process_metrics_;
  RouteMetrics& route_metrics_;
  std::shared_ptr<const pki::Identity> default_certificate_;
  Materials materials_;
  GenerationReader reader_;
  std::vector<Worker*> workers_;
  tls::SessionStore* sessions_ = nullptr;  // with backends
  LastHandshakes* handshakes_ = nullptr;
  std::vector<config::Rejection> refused_at_start_;
  std::optional<std::uint64_t> last_seen_current_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::shared_ptr<const route::Snapshot> served_;
  std::optional<RefusedLoad> last_refused_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace handfast::server
