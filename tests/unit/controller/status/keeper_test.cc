#include "controller/status/keeper.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "controller/objects/json_reader.h"
#include "proxy/config/emit.h"

namespace handfast::status {
namespace {

using std::chrono::seconds;

// One Lease and a list of what was written, with an answer on another thread for each request.
class Server final : public kube::Api {
 public:
  ~Server() override {
    for (std::thread& thread : threads_) thread.join();
  }

  Id send(kube::Request request, kube::Callbacks callbacks) override {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, request = std::move(request), callbacks = std::move(callbacks)] {
      callbacks.on_end(take(request));
    });
    return threads_.size();
  }
  void cancel(Id) override {}

  // Waits until this many writes have come; nobody waits for ever.
  bool wait_for_writes(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds{30}, [&] { return writes_.size() >= count; });
  }
  std::vector<std::string> writes() {
    const std::lock_guard lock(mutex_);
    return writes_;
  }
  std::string holder() {
    const std::lock_guard lock(mutex_);
    return lease_["holderIdentity"];
  }
  int next_status = 200;

 private:
  static kube::Answer make_answer(int status, std::string body = "") {
    kube::Answer answer;
    answer.status = status;
    answer.body = std::move(body);
    return answer;
  }
  kube::Answer take(const kube::Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.target.find("/leases") == std::string::npos) {
      writes_.push_back(request.target + ' ' + request.body);
      changed_.notify_all();
      return make_answer(std::exchange(next_status, 200));
    }
    if (request.method == "GET" && lease_.empty()) return make_answer(404);
    if (request.method == "POST" && !lease_.empty()) return make_answer(409);
    if (request.method != "GET") {
      objects::JsonReader reader{request.body, 1};
      const auto body = reader.next();
      if (request.method == "PATCH" &&
          body->find("metadata")->find("resourceVersion")->scalar != std::to_string(version_)) {
        return make_answer(409);
      }
      for (const auto& [key, value] : body->find("spec")->map) lease_[key] = value.scalar;
      ++version_;
    }
    std::string out;
    {
      config::JsonObject object{out};
      object.text("kind", "Lease");
      config::JsonObject{object.key("metadata")}.text("resourceVersion", std::to_string(version_));
      config::JsonObject spec{object.key("spec")};
      for (const auto& [key, value] : lease_) {
        const bool is_number = key == "leaseDurationSeconds" || key == "leaseTransitions";
        if (is_number) spec.key(key) += value;
        if (!is_number) spec.text(key, value);
      }
    }
    return make_answer(200, out);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  std::map<std::string, std::string> lease_;
  int version_ = 0;
  std::vector<std::string> writes_;
};

Write make(const std::string& key, bool leader_only) {
  return {key, "PATCH", "/" + key, "application/json", "{}", leader_only};
}

// A keeper that runs.
class Running {
 public:
  Running(Server& server, const std::string& identity)
      : keeper_(server, clock_,
                LeaderElection::Settings{"handfast", "leader", identity, seconds{4}}),
        thread_([this] { keeper_.run(); }) {}
  ~Running() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    keeper_.stop();
    thread_.join();
  }
  Keeper& operator*() { return keeper_; }
  Keeper* operator->() { return &keeper_; }

 private:
  SystemClock clock_;
  Keeper keeper_;
  std::thread thread_;
};

TEST(Keeper, TheLeaderWritesAndTheNextGoesOnWhenItStops) {
  Server server;
  Running one{server, "a"};
  one->want(make("first", true));
  ASSERT_TRUE(server.wait_for_writes(1));
  EXPECT_EQ(server.holder(), "a");

  Running two{server, "b"};
  two->want(make("second", true));
  two->want(make("own", false));
  ASSERT_TRUE(server.wait_for_writes(2));
  EXPECT_EQ(server.writes().at(1), "/own {}");
  EXPECT_FALSE(two->leads());

  one.stop();
  EXPECT_EQ(server.holder(), "");
  ASSERT_TRUE(server.wait_for_writes(3));
  EXPECT_EQ(server.writes().at(2), "/second {}");
  EXPECT_TRUE(two->leads());
}

TEST(Keeper, WithoutAnElectionItLeads) {
  Server server;
  const SystemClock clock;
  Keeper keeper{server, clock, std::nullopt};
  std::thread thread{[&keeper] { keeper.run(); }};
  keeper.want(make("only", true));
  EXPECT_TRUE(server.wait_for_writes(1));
  keeper.stop();
  thread.join();
  EXPECT_EQ(server.holder(), "");
}

TEST(Keeper, WhatTheServerCannotTakeNowIsSentAgain) {
  Server server;
  server.next_status = 503;
  Running one{server, "a"};
  one->want(make("again", true));
  ASSERT_TRUE(server.wait_for_writes(2));
  EXPECT_EQ(server.writes().at(0), server.writes().at(1));
}

TEST(Keeper, WhatIsForgottenIsNotWritten) {
  Server server;
  Running one{server, "a"};
  Running two{server, "b"};
  Running* follower = nullptr;
  one->want(make("x", true));
  two->want(make("x", true));
  ASSERT_TRUE(server.wait_for_writes(1));
  follower = one->leads() ? &two : &one;
  Running* leader = one->leads() ? &one : &two;
  (*follower)->forget("x");
  leader->stop();
  (*follower)->want(make("y", true));
  ASSERT_TRUE(server.wait_for_writes(2));
  EXPECT_EQ(server.writes().at(1), "/y {}");
}

}  // namespace
}  // namespace handfast::status
