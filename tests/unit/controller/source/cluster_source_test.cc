#include "controller/source/cluster_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace handfast::source {
namespace {

using objects::ObjectKey;

constexpr std::chrono::seconds kPatience{20};

std::string added(const std::string& kind, const std::string& api_version, const std::string& ns,
                  const std::string& name, int version, const std::string& more = "") {
  return R"({"type":"ADDED","object":{"kind":")" + kind + R"(","apiVersion":")" + api_version +
         R"(","metadata":{"name":")" + name + "\"" +
         (ns.empty() ? "" : R"(,"namespace":")" + ns + "\"") + R"(,"resourceVersion":")" +
         std::to_string(version) + "\"}" + more + "}}";
}

std::string secret(const std::string& ns, const std::string& name, int version) {
  return added("Secret", "v1", ns, name, version, R"(,"data":{"v":"YQ=="})");
}

std::string service(const std::string& ns, const std::string& name, int version) {
  return added("Service", "v1", ns, name, version, R"(,"spec":{"ports":[{"port":80}]})");
}

std::string object_of(std::string event) {
  const std::string mark = "\"object\":";
  event.erase(0, event.find(mark) + mark.size());
  event.pop_back();
  return event;
}

std::string deleted(std::string event) {
  event.replace(event.find("ADDED"), 5, "DELETED");
  return event;
}

const std::string kEnd =
    R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"100","annotations":)"
    R"({"k8s.io/initial-events-end":"true"}}}})";

// A server of watches: collections hold lines that a watch begins with, objects answer a GET.
class FakeApi final : public kube::Api {
 public:
  Id send(kube::Request request, kube::Callbacks callbacks) override {
    std::unique_lock lock{mutex_};
    const Id id = next_++;
    requests.push_back(request.target);
    const std::string path = request.target.substr(0, request.target.find('?'));
    const auto answer = answers.find(path);
    kube::Answer end;
    if (is_away || path == refused_path) {
      end.failure = "refused";
      lock.unlock();
      callbacks.on_end(std::move(end));
      changed_.notify_all();
      return id;
    }
    if (held_path == path) {
      held_path.clear();
      held_ = std::move(callbacks);
      lock.unlock();
      changed_.notify_all();
      return id;
    }
    if (answer != answers.end()) {
      end.status = answer->second.first;
      end.body = answer->second.second;
      lock.unlock();
      callbacks.on_end(std::move(end));
      changed_.notify_all();
      return id;
    }
    if (request.target.find("watch=1") == std::string::npos) {
      end.status = 404;
      lock.unlock();
      callbacks.on_end(std::move(end));
      changed_.notify_all();
      return id;
    }
    std::vector<std::string> lines;
    if (request.target.find("sendInitialEvents") != std::string::npos) {
      lines = collections[path];
      lines.push_back(kEnd);
    }
    streams_[id] = {path, callbacks};
    lock.unlock();
    callbacks.on_open();
    for (std::string& line : lines) callbacks.on_line(std::move(line));
    changed_.notify_all();
    return id;
  }

  void cancel(Id id) override { finish(id, "canceled"); }

  // To whoever watches that collection.
  void push(const std::string& path, const std::string& line) {
    std::vector<kube::Callbacks> found;
    {
      const std::lock_guard lock{mutex_};
      for (const auto& [id, stream] : streams_) {
        if (stream.path == path) found.push_back(stream.callbacks);
      }
    }
    ASSERT_FALSE(found.empty()) << "nobody watches " << path;
    for (const kube::Callbacks& one : found) one.on_line(line);
  }

  void go_away() {
    std::vector<Id> ids;
    {
      const std::lock_guard lock{mutex_};
      is_away = true;
      for (const auto& [id, stream] : streams_) ids.push_back(id);
    }
    for (const Id id : ids) finish(id, "reset");
  }
  void come_back() {
    const std::lock_guard lock{mutex_};
    is_away = false;
  }

  std::size_t count(const std::string& part) {
    const std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::ranges::count_if(
        requests, [&](const std::string& one) { return one.find(part) != std::string::npos; }));
  }
  void set_answer(const std::string& path, int status, const std::string& body = "{}") {
    const std::lock_guard lock{mutex_};
    answers[path] = {status, body};
  }
  void clear_answer(const std::string& path) {
    const std::lock_guard lock{mutex_};
    answers.erase(path);
  }
  // No request to it gets through.
  void refuse(const std::string& path) {
    const std::lock_guard lock{mutex_};
    refused_path = path;
  }
  // The next request to it is answered by release() alone.
  void hold(const std::string& path) {
    const std::lock_guard lock{mutex_};
    held_path = path;
  }
  void release(const std::string& body) {
    kube::Callbacks callbacks;
    {
      const std::lock_guard lock{mutex_};
      callbacks = std::exchange(held_, {});
    }
    kube::Answer end;
    end.status = 200;
    end.body = body;
    callbacks.on_end(std::move(end));
  }
  bool wait_for_request(const std::string& part, std::size_t times = 1) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, kPatience, [&] {
      return static_cast<std::size_t>(std::ranges::count_if(requests, [&](const std::string& one) {
               return one.find(part) != std::string::npos;
             })) >= times;
    });
  }

  std::map<std::string, std::vector<std::string>> collections;

 private:
  struct Stream {
    std::string path;
    kube::Callbacks callbacks;
  };
  void finish(Id id, const std::string& why) {
    std::optional<Stream> stream;
    {
      const std::lock_guard lock{mutex_};
      const auto found = streams_.find(id);
      if (found == streams_.end()) return;
      stream = found->second;
      streams_.erase(found);
    }
    kube::Answer end;
    end.status = 200;
    end.failure = why;
    stream->callbacks.on_end(std::move(end));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_away = false;
  std::vector<std::string> requests;
  std::map<std::string, std::pair<int, std::string>> answers;
  std::string refused_path;
  std::string held_path;
  kube::Callbacks held_;
  std::map<Id, Stream> streams_;
  Id next_ = 1;
};

// What a reconciler would know.
class Known final : public Sink {
 public:
  void on_batch(Batch batch) override {
    const std::lock_guard lock{mutex_};
    for (Event& event : batch.events) {
      if (event.object) {
        keys.insert(to_string(event.key));
      } else {
        keys.erase(to_string(event.key));
      }
    }
    for (const ObjectKey& key : batch.answered) answered.insert(to_string(key));
    problems.clear();
    for (const auto& problem : batch.problems) problems.push_back(problem.error.detail);
    synced = synced || batch.synced;
    ++batches;
    changed_.notify_all();
  }
  bool wait(const std::function<bool()>& holds) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, kPatience, holds);
  }
  bool wait_for(const std::string& key) {
    return wait([this, &key] { return keys.contains(key); });
  }
  bool wait_until_gone(const std::string& key) {
    return wait([this, &key] { return !keys.contains(key); });
  }
  bool wait_for_answer(const std::string& key) {
    return wait([this, &key] { return answered.contains(key); });
  }
  bool wait_for_sync() {
    return wait([this] { return synced; });
  }
  bool wait_for_problem(const std::string& part) {
    return wait([this, &part] {
      return std::ranges::any_of(
          problems, [&](const std::string& one) { return one.find(part) != std::string::npos; });
    });
  }

  std::set<std::string> keys;
  std::set<std::string> answered;
  std::vector<std::string> problems;
  bool synced = false;
  int batches = 0;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class ClusterSourceTest : public ::testing::Test {
 protected:
  void start(ClusterSource::Settings settings = {},
             std::chrono::milliseconds patience = std::chrono::milliseconds{20}) {
    settings.patience = patience;
    source.emplace(ClusterSource::Parts{api, clock, [] { return 0.25; }, nullptr},
                   std::move(settings));
    thread = std::thread([this] { source->run(known); });
  }
  // And watches what is on demand, of which nothing is wanted yet.
  [[nodiscard]] bool start_on_demand() {
    start();
    if (!known.wait_for_sync()) return false;
    (void)source->want({});
    return api.wait_for_request("/api/v1/configmaps?watch");
  }
  void TearDown() override {
    if (!source) return;
    source->stop();
    thread.join();
  }
  static ObjectKey secret_key(const std::string& name, const std::string& ns = "shop") {
    return {"Secret", ns, name};
  }

  const SystemClock clock;
  FakeApi api;
  Known known;
  std::optional<ClusterSource> source;
  std::thread thread;
};

TEST_F(ClusterSourceTest, IsInSyncOnceEverythingButWhatIsOnDemandWasSeen) {
  api.collections["/api/v1/services"] = {service("shop", "a", 1), service("shop", "b", 2)};

  start();

  ASSERT_TRUE(known.wait_for_sync());
  EXPECT_TRUE(known.keys.contains("Service shop/a"));
  EXPECT_TRUE(known.keys.contains("Service shop/b"));
  EXPECT_EQ(api.count("/secrets"), 0U) << "nobody has said yet which";
}

TEST_F(ClusterSourceTest, WaitsForAKindThatMayNotBeReadAndSaysSo) {
  api.set_answer("/apis/networking.k8s.io/v1/ingresses", 403, R"({"message":"ingresses: no"})");

  start();

  ASSERT_TRUE(known.wait_for_problem("ingresses: no"));
  EXPECT_FALSE(known.synced);
  api.clear_answer("/apis/networking.k8s.io/v1/ingresses");
  ASSERT_TRUE(known.wait_for_sync());
}

TEST_F(ClusterSourceTest, DoesNotWaitForWhatIsOnlyStricterWithout) {
  api.set_answer("/apis/networking.k8s.io/v1/ingressclasses", 403, R"({"message":"no classes"})");
  api.set_answer("/apis/gateway.networking.k8s.io/v1/referencegrants", 403, "{}");

  start();

  ASSERT_TRUE(known.wait_for_sync());
  ASSERT_TRUE(known.wait_for_problem("no classes"));
}

TEST_F(ClusterSourceTest, TakesAKindThatIsAbsentForEmpty) {
  api.set_answer("/apis/handfast.dev/v1alpha1/upstreamtlspolicies", 404);

  start();

  EXPECT_TRUE(known.wait_for_sync());
}

TEST_F(ClusterSourceTest, TellsAChangeAtOnce) {
  start();
  ASSERT_TRUE(known.wait_for_sync());

  api.push("/api/v1/services", service("shop", "a", 101));
  ASSERT_TRUE(known.wait_for("Service shop/a"));
  api.push("/api/v1/services", deleted(service("shop", "a", 102)));

  EXPECT_TRUE(known.wait_until_gone("Service shop/a"));
}

TEST_F(ClusterSourceTest, KeepsOnlyTheSecretsThatAreReferredTo) {
  api.collections["/api/v1/secrets"] = {secret("shop", "used", 1), secret("shop", "unused", 2)};
  start();
  ASSERT_TRUE(known.wait_for_sync());

  EXPECT_FALSE(source->want({secret_key("used"), secret_key("missing")}));

  ASSERT_TRUE(known.wait_for_answer("Secret shop/used"));
  ASSERT_TRUE(known.wait_for_answer("Secret shop/missing"));
  EXPECT_TRUE(known.keys.contains("Secret shop/used"));
  EXPECT_FALSE(known.keys.contains("Secret shop/unused"));
  EXPECT_EQ(api.count("fieldSelector=type%21%3Dhelm.sh%2Frelease.v1"), 1U);
}

TEST_F(ClusterSourceTest, FetchesASecretThatIsReferredToLater) {
  api.collections["/api/v1/secrets"] = {secret("shop", "later", 5)};
  api.set_answer("/api/v1/namespaces/shop/secrets/later", 200,
                 object_of(secret("shop", "later", 5)));
  start();
  ASSERT_TRUE(known.wait_for_sync());
  (void)source->want({secret_key("other")});
  ASSERT_TRUE(known.wait_for_answer("Secret shop/other"));

  (void)source->want({secret_key("other"), secret_key("later")});

  ASSERT_TRUE(known.wait_for_answer("Secret shop/later"));
  EXPECT_TRUE(known.keys.contains("Secret shop/later"));
  api.push("/api/v1/secrets", deleted(secret("shop", "later", 101)));
  EXPECT_TRUE(known.wait_until_gone("Secret shop/later"));
}

TEST_F(ClusterSourceTest, AnswersForASecretThatIsNotThereYetAndTellsWhenItComes) {
  api.set_answer("/api/v1/namespaces/shop/secrets/new", 404);
  ASSERT_TRUE(start_on_demand());
  (void)source->want({secret_key("new")});
  ASSERT_TRUE(known.wait_for_answer("Secret shop/new"));

  api.push("/api/v1/secrets", secret("shop", "new", 120));

  EXPECT_TRUE(known.wait_for("Secret shop/new"));
}

TEST_F(ClusterSourceTest, LetsGoOfASecretThatNobodyRefersToAnymore) {
  api.collections["/api/v1/secrets"] = {secret("shop", "used", 1)};
  start();
  ASSERT_TRUE(known.wait_for_sync());
  (void)source->want({secret_key("used")});
  ASSERT_TRUE(known.wait_for("Secret shop/used"));

  (void)source->want({});

  EXPECT_TRUE(known.wait_until_gone("Secret shop/used"));
}

TEST_F(ClusterSourceTest, TriesAFetchAgainThatFails) {
  api.set_answer("/api/v1/namespaces/shop/secrets/slow", 500);
  ASSERT_TRUE(start_on_demand());
  (void)source->want({secret_key("slow")});
  ASSERT_TRUE(api.wait_for_request("secrets/slow", 2));

  api.set_answer("/api/v1/namespaces/shop/secrets/slow", 200, object_of(secret("shop", "slow", 3)));

  EXPECT_TRUE(known.wait_for("Secret shop/slow"));
}

TEST_F(ClusterSourceTest, DoesNotBringBackASecretThatGoesWhileItIsFetched) {
  api.set_answer("/api/v1/namespaces/shop/secrets/short", 404);
  ASSERT_TRUE(start_on_demand());
  api.hold("/api/v1/namespaces/shop/secrets/short");
  (void)source->want({secret_key("short")});
  ASSERT_TRUE(api.wait_for_request("secrets/short"));

  api.push("/api/v1/secrets", deleted(secret("shop", "short", 102)));
  api.release(object_of(secret("shop", "short", 101)));

  ASSERT_TRUE(known.wait_for_answer("Secret shop/short"));
  EXPECT_TRUE(known.wait_until_gone("Secret shop/short"));
  EXPECT_EQ(api.count("secrets/short"), 2U) << "perhaps it is there again";
}

TEST_F(ClusterSourceTest, DoesNotBringBackASecretThatGoesWhileItsKindIsListedAnew) {
  api.set_answer("/api/v1/namespaces/shop/secrets/short", 404);
  ASSERT_TRUE(start_on_demand());
  api.hold("/api/v1/namespaces/shop/secrets/short");
  (void)source->want({secret_key("short")});
  ASSERT_TRUE(api.wait_for_request("secrets/short"));

  api.push("/api/v1/secrets", R"({"type":"ERROR","object":{"code":410}})");
  ASSERT_TRUE(api.wait_for_request("/api/v1/secrets?watch", 2));
  api.release(object_of(secret("shop", "short", 50)));

  ASSERT_TRUE(known.wait_for_answer("Secret shop/short"));
  EXPECT_TRUE(known.wait_until_gone("Secret shop/short"));
}

TEST_F(ClusterSourceTest, AsksAgainForASecretThatItMayNotRead) {
  // A server that restarts refuses everybody for a moment.
  api.set_answer("/api/v1/namespaces/shop/secrets/shy", 403, R"({"message":"secrets: no"})");
  start({.namespaces = {}, .namespace_selector = {}, .named = {}}, std::chrono::hours{1});
  ASSERT_TRUE(known.wait_for_sync());
  (void)source->want({});
  ASSERT_TRUE(api.wait_for_request("/api/v1/configmaps?watch"));
  (void)source->want({secret_key("shy")});
  ASSERT_TRUE(api.wait_for_request("secrets/shy", 2));

  api.set_answer("/api/v1/namespaces/shop/secrets/shy", 200, object_of(secret("shop", "shy", 3)));

  EXPECT_TRUE(known.wait_for("Secret shop/shy"));
}

TEST_F(ClusterSourceTest, SaysThatASecretMayNotBeRead) {
  api.set_answer("/api/v1/namespaces/shop/secrets/shy", 403, R"({"message":"secrets: no"})");
  ASSERT_TRUE(start_on_demand());

  (void)source->want({secret_key("shy")});

  ASSERT_TRUE(known.wait_for_problem("secrets: no"));
  EXPECT_TRUE(known.wait_for_answer("Secret shop/shy"));
  (void)source->want({});
  EXPECT_TRUE(known.wait([this] { return known.problems.empty(); }));
}

TEST_F(ClusterSourceTest, TakesAReleaseOfHelmForNone) {
  api.set_answer("/api/v1/namespaces/shop/secrets/release", 200,
                 object_of(added("Secret", "v1", "shop", "release", 5,
                                 R"(,"type":"helm.sh/release.v1","data":{"v":"YQ=="})")));
  ASSERT_TRUE(start_on_demand());

  (void)source->want({secret_key("release")});

  ASSERT_TRUE(known.wait_for_answer("Secret shop/release"));
  EXPECT_FALSE(known.keys.contains("Secret shop/release")) << "no watch would tell of its changes";
}

TEST_F(ClusterSourceTest, FetchesWhileOneWatchGetsNoAnswer) {
  ASSERT_TRUE(start_on_demand());
  api.refuse("/api/v1/services");
  api.push("/api/v1/services", "no event");
  ASSERT_TRUE(known.wait_for_problem("can't be reached"));

  (void)source->want({secret_key("new")});

  EXPECT_TRUE(known.wait_for_answer("Secret shop/new"));
}

TEST_F(ClusterSourceTest, SaysThatTheServerIsAwayAndOneRequestTriesForAll) {
  start();
  ASSERT_TRUE(known.wait_for_sync());
  const std::size_t watches = api.count("watch=1");

  api.go_away();

  ASSERT_TRUE(known.wait_for_problem("can't be reached"));
  EXPECT_LE(api.count("watch=1"), 2 * watches + 4) << "each once, then one for all";

  api.come_back();
  EXPECT_TRUE(known.wait([this] { return known.problems.empty(); }));
  api.push("/api/v1/services", service("shop", "a", 201));
  EXPECT_TRUE(known.wait_for("Service shop/a"));
}

TEST_F(ClusterSourceTest, WatchesNamespacesOneByOneIfTheyAreNamed) {
  start({{"shop", "blog"}, {}, {{"Secret", "ops", "default-cert"}, {"Service", "ops", "errors"}}});
  ASSERT_TRUE(known.wait_for_sync());
  (void)source->want({secret_key("default-cert", "ops"), secret_key("x", "elsewhere")});

  ASSERT_TRUE(known.wait_for_answer("Secret ops/default-cert"));
  EXPECT_EQ(api.count("/api/v1/namespaces/shop/services?"), 1U);
  EXPECT_EQ(api.count("/api/v1/namespaces/blog/services?"), 1U);
  EXPECT_EQ(api.count("/api/v1/namespaces/ops/services?"), 1U);
  EXPECT_EQ(api.count("fieldSelector=metadata.name%3Derrors"), 1U);
  EXPECT_EQ(api.count("labelSelector=kubernetes.io%2Fservice-name%3Derrors"), 1U);
  EXPECT_EQ(api.count("fieldSelector=metadata.name%3Ddefault-cert"), 1U);
  EXPECT_EQ(api.count("/api/v1/services?"), 0U);
  EXPECT_EQ(api.count("/api/v1/secrets?"), 0U);
}

TEST_F(ClusterSourceTest, AnswersAtOnceForNamespacesThatItDoesNotWatch) {
  start({{"shop"}, {}, {}});
  ASSERT_TRUE(known.wait_for_sync());
  (void)source->want({});
  ASSERT_TRUE(api.wait_for_request("/namespaces/shop/configmaps?watch"));

  (void)source->want({secret_key("x", "elsewhere")});

  EXPECT_TRUE(known.wait_for_answer("Secret elsewhere/x"));
  EXPECT_EQ(api.count("/namespaces/elsewhere/"), 0U);
}

TEST_F(ClusterSourceTest, FollowsTheLabelsOfNamespaces) {
  api.collections["/api/v1/namespaces"] = {added("Namespace", "v1", "", "shop", 1)};
  api.collections["/api/v1/services"] = {service("shop", "a", 1), service("blog", "b", 2)};
  api.collections["/api/v1/secrets"] = {secret("blog", "s", 3)};
  api.set_answer("/api/v1/namespaces/blog/secrets/s", 200, object_of(secret("blog", "s", 3)));
  start({{}, "team in (web)", {}});
  ASSERT_TRUE(known.wait_for_sync());
  EXPECT_TRUE(known.keys.contains("Service shop/a"));
  EXPECT_FALSE(known.keys.contains("Service blog/b"));
  (void)source->want({secret_key("s", "blog")});
  ASSERT_TRUE(known.wait_for_answer("Secret blog/s"));

  api.push("/api/v1/namespaces", added("Namespace", "v1", "", "blog", 101));
  ASSERT_TRUE(known.wait_for("Service blog/b"));
  ASSERT_TRUE(known.wait_for("Secret blog/s"));

  api.push("/api/v1/namespaces", deleted(added("Namespace", "v1", "", "blog", 102)));
  EXPECT_TRUE(known.wait_until_gone("Service blog/b"));
  EXPECT_TRUE(known.wait_until_gone("Secret blog/s"));
}

TEST_F(ClusterSourceTest, TellsOfAnObjectThatItCanNotReadAndKeepsTheLastGood) {
  api.collections["/api/v1/services"] = {service("shop", "a", 1)};
  start();
  ASSERT_TRUE(known.wait_for_sync());

  api.push("/api/v1/services",
           added("Service", "v1", "shop", "a", 101, R"(,"spec":{"ports":[1]})"));

  ASSERT_TRUE(known.wait([this] { return !known.problems.empty(); }));
  EXPECT_TRUE(known.keys.contains("Service shop/a"));
  api.push("/api/v1/services", service("shop", "a", 102));
  EXPECT_TRUE(known.wait([this] { return known.problems.empty(); }));
}

}  // namespace
}  // namespace handfast::source
