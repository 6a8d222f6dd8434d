#pragma once
// Writes status: a thread that holds the Lease or waits for it, and sends what is wanted.
//
//   reconciler: want(), forget() --> queue --> the API server
//
// Every replica wants what a leader would write; the one that leads sends it, and whoever sees by
// its watch that it is written forgets it. So nothing is lost when the lead moves.
//
// A leader's write is given up before anybody else can lead: see leader_election.h.
//
// Threading: want(), forget(), leads() from any thread; run() on one, until stop(). Ownership:
// borrows its parts.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "controller/kube/api.h"
#include "controller/status/leader_election.h"
#include "controller/status/write_queue.h"

namespace handfast::status {

class Keeper final : public Wishes {
 public:
  // `election`: none: this replica is alone, and leads (--disable-leader-election).
  Keeper(kube::Api& api, const Clock& clock, std::optional<LeaderElection::Settings> election);

  void want(Write write) override;
  void forget(const std::string& key) override;
  [[nodiscard]] bool leads() const;

  // Until stop(); then gives the lease up and waits for what is under way, at most as long as a
  // request may take.
  void run();
  void stop();

 private:
  using Lock = std::unique_lock<std::mutex>;
  struct UnderWay {
    std::optional<kube::Api::Id> id;  // once send() has told it
    Monotonic deadline;
    bool is_cancelled = false;
  };

  [[nodiscard]] bool leads_locked() const;
  [[nodiscard]] Monotonic wake_at() const;
  void step(Lock& lock);
  bool send_election(Lock& lock);
  bool send_write(Lock& lock);
  void send(Lock& lock, kube::Request request, std::function<void(const kube::Answer&)> done);
  void cancel_late(Lock& lock);
  void wait_for_answers(Lock& lock);
  void release(Lock& lock);
  void tell_lead();
  void take_write_answer(const Write& write, const kube::Answer& answer);

  kube::Api& api_;
  const Clock& clock_;
  const std::optional<LeaderElection::Settings> settings_;
  std::chrono::milliseconds timeout_;  // of one request

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, all.
  std::optional<LeaderElection> election_;
  WriteQueue queue_;
  std::map<std::uint64_t, UnderWay> under_way_;
  std::uint64_t last_request_ = 0;
  bool told_lead_ = false;
  bool stopping_ = false;
};

}  // namespace handfast::status
