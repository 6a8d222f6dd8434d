#include "controller/kube/reflector.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace handfast::kube {
namespace {

using std::chrono::seconds;
using State = Reflector::State;

constexpr Resource kConfigMaps{"ConfigMap", "configmaps", "", {"v1"}};
constexpr Resource kPolicies{"BackendTLSPolicy",
                             "backendtlspolicies",
                             "gateway.networking.k8s.io",
                             {"v1", "v1alpha3"},
                             true,
                             true};

// Remembers what is there, as whoever listens would.
class Cache final : public Listener {
 public:
  bool wants(const objects::ObjectKey& key) override { return !unwanted.contains(key.name); }
  void on_object(const objects::ObjectKey& key, objects::Object object) override {
    const auto* map = std::get_if<objects::ConfigMap>(&object);
    const auto found = map == nullptr ? objects::DataMap::const_iterator{} : map->data.find("v");
    objects[key.name] = map == nullptr || found == map->data.end() ? "" : found->second.bytes;
    bad.erase(key.name);
    ++calls;
  }
  void on_bad(const objects::ObjectKey& key, std::vector<objects::Decoded::Problem>) override {
    bad.insert(key.name);
  }
  void on_gone(const objects::ObjectKey& key) override {
    objects.erase(key.name);
    bad.erase(key.name);
    ++calls;
  }
  void on_name(const objects::ObjectKey& key) override { objects[key.name] = ""; }

  std::set<std::string> unwanted;
  std::map<std::string, std::string> objects;
  std::set<std::string> bad;
  int calls = 0;
};

std::string object(const std::string& name, int version, const std::string& value = "") {
  return R"({"metadata":{"namespace":"shop","name":")" + name + R"(","resourceVersion":")" +
         std::to_string(version) + R"("},"data":{"v":")" + value + R"("}})";
}

std::string event(const std::string& type, const std::string& name, int version,
                  const std::string& value = "") {
  return R"({"type":")" + type + R"(","object":)" + object(name, version, value) + "}";
}

std::string bookmark(int version, bool is_end = false) {
  return R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")" +
         std::to_string(version) + R"(")" +
         (is_end ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "") + "}}}";
}

std::string error_event(int code) {
  return R"({"type":"ERROR","object":{"code":)" + std::to_string(code) + "}}";
}

std::string list(int version, const std::string& items, const std::string& next = "") {
  return R"({"metadata":{"resourceVersion":")" + std::to_string(version) + R"(","continue":")" +
         next + R"("},"items":[)" + items + "]}";
}

class Reflecting : public ::testing::Test {
 protected:
  // The next request, at once or when it is due.
  std::string request() {
    if (reflector.state() == State::Waiting && reflector.due() != Monotonic::max()) {
      now = std::max(now, reflector.due());
    }
    const auto next = reflector.take_request(now);
    return next ? next->target : "none";
  }
  void answer(int status, std::string body = {}) {
    Answer one;
    one.status = status;
    one.body = std::move(body);
    reflector.on_end(one, now);
  }
  void cut(int status = 200) {
    Answer one;
    one.status = status;
    one.failure = "reset";
    reflector.on_end(one, now);
  }
  bool line(const std::string& text) { return reflector.on_line(text, now); }
  void open() { reflector.on_open(now); }

  // Lists by a watch: one object, "a", at version 10.
  void sync() {
    request();
    open();
    EXPECT_TRUE(line(event("ADDED", "a", 5, "1")));
    EXPECT_TRUE(line(bookmark(10, true)));
  }
  // As a server without WatchList.
  void sync_by_list() {
    request();
    answer(422);
    request();
    answer(200, list(10, object("a", 5, "1")));
  }
  [[nodiscard]] static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  Monotonic now{seconds{1'000}};
  Cache cache;
  double chance = 0.5;
  Reflector reflector{kConfigMaps, {"shop", "f=1", "l in (a)"}, cache, [this] { return chance; }};
};

TEST_F(Reflecting, BeginsWithAWatchThatSendsWhatIsThere) {
  const std::string first = request();

  EXPECT_TRUE(has(first, "/api/v1/namespaces/shop/configmaps?watch=1")) << first;
  EXPECT_TRUE(has(first, "sendInitialEvents=true")) << first;
  EXPECT_TRUE(has(first, "allowWatchBookmarks=true")) << first;
  EXPECT_TRUE(has(first, "timeoutSeconds=450")) << first;
  EXPECT_TRUE(has(first, "fieldSelector=f%3D1&labelSelector=l%20in%20%28a%29")) << first;
}

TEST_F(Reflecting, IsInSyncWhenTheBeginningEnds) {
  request();
  open();
  EXPECT_TRUE(line(event("ADDED", "a", 5, "1")));
  EXPECT_FALSE(reflector.is_synced());

  EXPECT_TRUE(line(bookmark(10, true)));

  EXPECT_TRUE(reflector.is_synced());
  EXPECT_EQ(cache.objects.at("a"), "1");
}

TEST_F(Reflecting, ListsPageByPageWhereAServerHasNoWatchList) {
  request();
  answer(422, R"({"message":"sendInitialEvents is forbidden"})");
  EXPECT_FALSE(reflector.trouble().has_value());

  EXPECT_TRUE(has(request(), "configmaps?limit=500"));
  answer(200, list(10, object("a", 5, "1"), "next page"));
  EXPECT_TRUE(has(request(), "continue=next%20page"));
  EXPECT_FALSE(reflector.is_synced());
  answer(200, list(10, object("b", 6, "2")));

  EXPECT_TRUE(reflector.is_synced());
  EXPECT_EQ(cache.objects.size(), 2U);
  EXPECT_TRUE(has(request(), "resourceVersion=10"));
}

TEST_F(Reflecting, FollowsEventsAndResumesAtTheLastVersion) {
  sync();
  EXPECT_TRUE(line(event("MODIFIED", "a", 11, "2")));
  EXPECT_TRUE(line(event("ADDED", "b", 12, "3")));
  EXPECT_TRUE(line(event("DELETED", "a", 13)));
  now += seconds{400};

  answer(200);

  EXPECT_EQ(cache.objects, (std::map<std::string, std::string>{{"b", "3"}}));
  EXPECT_EQ(reflector.due(), now) << "the end of a watch in order is no reason to wait";
  EXPECT_TRUE(has(request(), "&resourceVersion=13"));
}

TEST_F(Reflecting, ResumesAtABookmark) {
  sync();
  EXPECT_TRUE(line(bookmark(77)));

  cut();

  EXPECT_TRUE(has(request(), "&resourceVersion=77"));
}

TEST_F(Reflecting, SeesWhatIsGoneWhenItListsAnew) {
  sync();
  EXPECT_TRUE(line(event("ADDED", "b", 11, "2")));
  EXPECT_FALSE(line(error_event(410)));
  answer(200);

  EXPECT_TRUE(has(request(), "sendInitialEvents=true"));
  open();
  EXPECT_TRUE(line(event("ADDED", "b", 11, "2")));
  EXPECT_EQ(cache.objects.size(), 2U) << "nothing goes before all has been sent";
  EXPECT_TRUE(line(bookmark(20, true)));

  EXPECT_EQ(cache.objects, (std::map<std::string, std::string>{{"b", "2"}}));
}

TEST_F(Reflecting, ListsAnewAfterA410) {
  sync_by_list();
  request();
  answer(410);

  EXPECT_TRUE(has(request(), "sendInitialEvents=true"));
}

TEST_F(Reflecting, BeginsTheListAgainWhenItsPagesAreTooOld) {
  request();
  answer(422);
  request();
  answer(200, list(10, object("a", 5, "1"), "next"));
  request();
  answer(410);

  EXPECT_FALSE(has(request(), "continue"));
}

TEST_F(Reflecting, DoesNotTellTwiceWhatItKnows) {
  sync();
  const int calls = cache.calls;
  EXPECT_FALSE(line(error_event(410)));
  answer(200);
  request();
  open();

  EXPECT_TRUE(line(event("ADDED", "a", 5, "1")));
  EXPECT_TRUE(line(bookmark(30, true)));

  EXPECT_EQ(cache.calls, calls);
}

TEST_F(Reflecting, NeverGoesBackInTime) {
  sync();
  ASSERT_TRUE(reflector.adopt({"ConfigMap", "shop", "b"}, "50"));
  cache.objects["b"] = "newest";

  EXPECT_TRUE(line(event("ADDED", "b", 40, "older")));
  EXPECT_TRUE(line(event("DELETED", "b", 45)));
  EXPECT_EQ(cache.objects["b"], "newest");
  EXPECT_FALSE(reflector.adopt({"ConfigMap", "shop", "b"}, "49"));

  EXPECT_TRUE(line(event("MODIFIED", "b", 51, "newer")));
  EXPECT_EQ(cache.objects["b"], "newer");
}

TEST_F(Reflecting, BelievesAServerThatWasRestoredFromABackup) {
  sync();
  EXPECT_TRUE(line(event("MODIFIED", "a", 1'000, "lost")));

  EXPECT_FALSE(line(bookmark(500)));
  cut();
  request();
  open();
  EXPECT_TRUE(line(event("ADDED", "a", 400, "restored")));
  EXPECT_FALSE(line(bookmark(500, true))) << "some may have been passed over";
  cut();
  request();
  open();
  EXPECT_TRUE(line(event("ADDED", "a", 400, "restored")));
  EXPECT_TRUE(line(bookmark(500, true)));

  EXPECT_EQ(cache.objects.at("a"), "restored");
}

TEST_F(Reflecting, StartsOverWhenTheBeginningIsCut) {
  request();
  open();
  EXPECT_TRUE(line(event("ADDED", "a", 5, "1")));
  cut();

  EXPECT_FALSE(reflector.is_synced());
  EXPECT_TRUE(has(request(), "sendInitialEvents=true"));
}

TEST_F(Reflecting, WaitsForTheServerWhenThereIsNoConnection) {
  request();
  cut(0);

  EXPECT_TRUE(reflector.is_waiting_for_server());
  EXPECT_EQ(reflector.due(), Monotonic::max());
  EXPECT_TRUE(has(reflector.trouble()->detail, "can't be reached: reset"));

  reflector.on_reachable(now);
  EXPECT_LE(reflector.due() - now, seconds{1});
  EXPECT_NE(request(), "none");
}

TEST_F(Reflecting, TriesTheServerWhenItIsChosenTo) {
  request();
  cut(0);
  reflector.try_server(now);

  EXPECT_NE(request(), "none");
}

TEST_F(Reflecting, WaitsLongerAfterEachFailureUpToHalfAMinute) {
  chance = 0.999;
  std::vector<double> waits;
  for (int n = 0; n < 8; ++n) {
    request();
    const Monotonic before = now;
    answer(503);
    waits.push_back(std::chrono::duration<double>(reflector.due() - before).count());
  }

  EXPECT_NEAR(waits[0], 0.8, 0.01);
  EXPECT_NEAR(waits[1], 1.6, 0.01);
  EXPECT_NEAR(waits[7], 30, 0.1);
}

TEST_F(Reflecting, WaitsAsLongAsItIsAskedTo) {
  request();
  Answer busy;
  busy.status = 429;
  busy.retry_after = seconds{7};
  reflector.on_end(busy, now);

  EXPECT_GE(reflector.due() - now, seconds{7});
}

TEST_F(Reflecting, TellsWhatIsForbiddenAndKeepsWhatItKnows) {
  sync();
  cut();
  request();
  answer(403, R"({"message":"configmaps is forbidden"})");

  EXPECT_EQ(reflector.trouble()->status, 403);
  EXPECT_EQ(reflector.trouble()->detail, "configmaps is forbidden");
  EXPECT_EQ(cache.objects.size(), 1U);
  EXPECT_TRUE(reflector.is_synced());

  EXPECT_TRUE(has(request(), "&resourceVersion=10")) << "permitted again, it goes on";
  open();
  EXPECT_FALSE(reflector.trouble().has_value());
}

TEST_F(Reflecting, NoticesSilence) {
  sync();
  now += seconds{89};
  EXPECT_FALSE(reflector.is_silent(now));
  EXPECT_TRUE(line(bookmark(11)));
  now += seconds{89};
  EXPECT_FALSE(reflector.is_silent(now));
  now += seconds{2};
  EXPECT_TRUE(reflector.is_silent(now));

  cut();
  request();
  now += seconds{21};
  EXPECT_TRUE(reflector.is_silent(now)) << "no head came";
}

TEST_F(Reflecting, ListsAnewAfterALineThatNoServerSends) {
  sync();
  EXPECT_FALSE(line("{\"type\":\"ADD"));
  cut();

  EXPECT_TRUE(has(request(), "sendInitialEvents=true"));
  EXPECT_EQ(cache.objects.size(), 1U);
}

TEST_F(Reflecting, WaitsAfterAWatchThatEndsAtOnce) {
  sync();
  cut();
  request();
  open();
  answer(200);

  EXPECT_GT(reflector.due(), now);
}

TEST_F(Reflecting, KeepsTheLastGoodVersionOfWhatItCanNotRead) {
  sync();
  EXPECT_TRUE(line(R"({"type":"MODIFIED","object":{"metadata":{"namespace":"shop","name":"a",)"
                   R"("resourceVersion":"11"},"data":[]}})"));

  EXPECT_EQ(cache.objects.at("a"), "1");
  EXPECT_TRUE(cache.bad.contains("a"));
  EXPECT_TRUE(line(event("MODIFIED", "a", 12, "2")));
  EXPECT_TRUE(cache.bad.empty());
}

TEST_F(Reflecting, PassesOverWhatIsNotWanted) {
  cache.unwanted = {"b"};
  sync();
  EXPECT_TRUE(line(event("ADDED", "b", 11)));
  EXPECT_FALSE(cache.objects.contains("b"));

  cache.unwanted.clear();
  EXPECT_TRUE(reflector.adopt({"ConfigMap", "shop", "b"}, "11"));
  EXPECT_TRUE(line(event("DELETED", "b", 12)));
}

TEST_F(Reflecting, AsksForFewerAtATimeWhenListsDoNotComeThrough) {
  request();
  answer(422);
  request();
  cut(200);

  EXPECT_TRUE(has(request(), "limit=250"));
}

TEST_F(Reflecting, AsksForFewerAtATimeWhenAPageHoldsTooMuch) {
  std::string values = "0";
  for (std::size_t n = 0; n < objects::kMaxNodes; ++n) values += ",0";
  request();
  answer(422);
  request();

  answer(200, R"({"metadata":{"resourceVersion":"10"},"items":[{"metadata":{},"data":[)" + values +
                  "]}]}");

  EXPECT_TRUE(has(request(), "limit=250")) << "the same page would be as large again";
  for (int n = 0; n < 12; ++n) {
    answer(200, "{");
    request();
  }
  answer(200, "{");
  EXPECT_GT(reflector.due(), now) << "no circle";
  EXPECT_TRUE(has(request(), "limit=1&"));
}

TEST_F(Reflecting, ListsWhereTheServerGivesUpTheBeginningOfAWatch) {
  // So says a server whose etcd can't tell it how far it has come.
  request();
  open();
  EXPECT_FALSE(line(error_event(500)));
  answer(200);

  EXPECT_TRUE(has(request(), "configmaps?limit=500"));
  answer(200, list(10, object("a", 5, "1")));
  EXPECT_TRUE(reflector.is_synced());
  EXPECT_FALSE(reflector.trouble().has_value());
}

TEST_F(Reflecting, ListsWhereTheBeginningOfAWatchDoesNotEnd) {
  request();
  open();
  EXPECT_TRUE(line(event("ADDED", "a", 5, "1")));
  now += seconds{90};
  EXPECT_TRUE(reflector.is_silent(now));
  cut();

  EXPECT_TRUE(has(request(), "configmaps?limit=500"));
}

TEST_F(Reflecting, ListsAnewWhenAWatchHasBroughtNothing) {
  // A server that was restored from a backup sends nothing older than where the watch resumed.
  sync();
  now += seconds{90};
  EXPECT_TRUE(reflector.is_silent(now));
  cut();

  EXPECT_TRUE(has(request(), "sendInitialEvents=true"));
}

TEST_F(Reflecting, DoesNotListInACircle) {
  sync_by_list();
  request();
  open();
  EXPECT_FALSE(line(error_event(410)));
  answer(200);

  EXPECT_GT(reflector.due(), now) << "what was just listed is too old already";
}

class ReflectingAPolicy : public Reflecting {
 protected:
  ReflectingAPolicy() = default;
  std::string policy_request() {
    if (policies.due() != Monotonic::max()) now = std::max(now, policies.due());
    const auto next = policies.take_request(now);
    return next ? next->target : "none";
  }
  void policy_answer(int status, const std::string& body = "") {
    Answer one;
    one.status = status;
    one.body = body;
    policies.on_end(one, now);
  }
  Reflector policies{kPolicies, {}, cache, [] { return 0.5; }};
};

TEST_F(ReflectingAPolicy, IsEmptyWhereTheKindIsAbsentAndAsksAgain) {
  EXPECT_TRUE(has(policy_request(), "/v1/backendtlspolicies"));
  policy_answer(404);
  EXPECT_TRUE(has(policy_request(), "/v1alpha3/backendtlspolicies"));
  policy_answer(404);
  EXPECT_EQ(policy_request(), "/apis/gateway.networking.k8s.io");
  policy_answer(404);

  EXPECT_TRUE(policies.is_synced());
  EXPECT_TRUE(policies.is_absent());
  EXPECT_FALSE(policies.trouble().has_value());
  EXPECT_EQ(policies.due() - now, seconds{30});
  EXPECT_EQ(policy_request(), "/apis/gateway.networking.k8s.io");
}

TEST_F(ReflectingAPolicy, FindsAKindThatAppears) {
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(404);

  EXPECT_EQ(policy_request(), "/apis/gateway.networking.k8s.io");
  policy_answer(200, R"({"versions":[{"version":"v1"},{"version":"v1beta1"}]})");
  EXPECT_EQ(policy_request(), "/apis/gateway.networking.k8s.io/v1beta1");
  policy_answer(200, R"({"resources":[{"name":"referencegrants"}]})");
  EXPECT_EQ(policy_request(), "/apis/gateway.networking.k8s.io/v1");
  policy_answer(200, R"({"resources":[{"name":"backendtlspolicies"}]})");

  EXPECT_TRUE(has(policy_request(), "/v1/backendtlspolicies?watch=1"));
}

TEST_F(ReflectingAPolicy, IsEmptyWhereTheGroupHasOtherKindsOnly) {
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(200, R"({"versions":[{"version":"v1"}]})");
  policy_request();
  policy_answer(200, R"({"resources":[{"name":"gateways"}]})");

  EXPECT_TRUE(policies.is_absent());
  EXPECT_TRUE(policies.is_synced());
}

TEST_F(ReflectingAPolicy, DoesNotTakeAKindOfTheFutureForNone) {
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(200, R"({"versions":[{"version":"v3"}]})");
  policy_request();
  policy_answer(200, R"({"resources":[{"name":"backendtlspolicies"}]})");

  EXPECT_FALSE(policies.is_synced());
  ASSERT_TRUE(policies.trouble().has_value());
  EXPECT_TRUE(has(policies.trouble()->detail, "v3"));
  EXPECT_EQ(policies.due() - now, seconds{30});
}

TEST_F(ReflectingAPolicy, TakesTheVersionThatThereIs) {
  policy_request();
  policy_answer(404);
  policy_request();
  policies.on_open(now);
  EXPECT_TRUE(policies.on_line(bookmark(3, true), now));

  EXPECT_TRUE(policies.is_synced());
  EXPECT_EQ(policies.version(), 1U);
  EXPECT_FALSE(policies.is_absent());
}

TEST_F(ReflectingAPolicy, DoubtsForAMomentThatTheKindHasVanished) {
  policy_request();
  policies.on_open(now);
  EXPECT_TRUE(policies.on_line(
      R"({"type":"ADDED","object":{"metadata":{"namespace":"s","name":"p","resourceVersion":"2"},)"
      R"("spec":{"targetRefs":[{"group":"","kind":"Service","name":"x"}],"validation":)"
      R"({"hostname":"h","caCertificateRefs":[{"group":"","kind":"ConfigMap","name":"c"}]}}}})",
      now));
  EXPECT_TRUE(policies.on_line(bookmark(3, true), now));
  EXPECT_TRUE(cache.objects.contains("p"));
  Answer over;
  over.status = 200;
  now += seconds{300};
  policies.on_end(over, now);

  policy_request();
  policy_answer(404);
  policy_request();
  policy_answer(404);
  for (int n = 0; n < 2; ++n) {
    policy_request();
    policy_answer(404);
    EXPECT_TRUE(cache.objects.contains("p")) << n;
  }
  policy_request();
  policy_answer(404);

  EXPECT_FALSE(cache.objects.contains("p"));
  EXPECT_TRUE(policies.is_absent());
}

// A server in a few lines, with a history that is compacted at random: whatever happens to
// connections, the cache ends up with what the server has, and no version is told before an older.
class Server {
 public:
  explicit Server(std::uint64_t seed) : random_(seed) {}

  bool chance(double probability) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }
  void write() {
    const std::string name(1, static_cast<char>('a' + random_() % 6));
    ++version_;
    if (objects_.contains(name) && chance(0.3)) {
      history_[version_] = event("DELETED", name, version_);
      objects_.erase(name);
    } else {
      const bool is_new = !objects_.contains(name);
      objects_[name] = version_;
      history_[version_] =
          event(is_new ? "ADDED" : "MODIFIED", name, version_, std::to_string(version_));
    }
  }
  void compact() { compacted_ = version_ - static_cast<int>(random_() % 3); }

  // Plays one request to its end, or to a cut somewhere.
  void play(Reflector& reflector, const Request& request, Monotonic now) {
    Answer answer;
    if (chance(0.1)) {
      answer.failure = "refused";
      return reflector.on_end(answer, now);
    }
    if (chance(0.1)) {
      answer.status = chance(0.5) ? 503 : 429;
      return reflector.on_end(answer, now);
    }
    if (request.target.find("?watch=1") == std::string::npos)
      return list_page(reflector, request, now);
    const bool is_initial = request.target.find("sendInitialEvents") != std::string::npos;
    if (is_initial && !has_watch_list) {
      answer.status = 422;
      return reflector.on_end(answer, now);
    }
    answer.status = 200;
    std::vector<std::string> lines;
    int position = version_;
    if (is_initial) {
      for (const auto& [name, version] : objects_) {
        lines.push_back(event("ADDED", name, version, std::to_string(version)));
      }
      lines.push_back(bookmark(version_, true));
    } else {
      const std::string key = "&resourceVersion=";
      position = std::stoi(request.target.substr(request.target.find(key) + key.size()));
    }
    for (int n = 0; n < 4; ++n) write();
    if (!is_initial && position < compacted_)
      lines.push_back(error_event(410));
    else
      for (auto at = history_.upper_bound(position); at != history_.end(); ++at) {
        lines.push_back(at->second);
        if (chance(0.2)) lines.push_back(bookmark(at->first));
      }
    reflector.on_open(now);
    for (const std::string& one : lines) {
      if (chance(0.08) || !reflector.on_line(one, now)) {
        answer.failure = "cut";
        break;
      }
    }
    reflector.on_end(answer, now);
  }

  [[nodiscard]] std::map<std::string, std::string> content() const {
    std::map<std::string, std::string> all;
    for (const auto& [name, version] : objects_) all[name] = std::to_string(version);
    return all;
  }
  bool has_watch_list = true;

 private:
  void list_page(Reflector& reflector, const Request& request, Monotonic now) {
    Answer answer;
    answer.status = 200;
    const auto at = request.target.find("&continue=");
    const std::string from = at == std::string::npos ? "" : request.target.substr(at + 10, 1);
    if (!from.empty() && chance(0.2)) {
      answer.status = 410;
      return reflector.on_end(answer, now);
    }
    // A list is of one moment, however many its pages.
    if (from.empty()) {
      listed_ = objects_;
      listed_version_ = version_;
    }
    std::string items;
    std::string next;
    int count = 0;
    for (const auto& [name, version] : listed_) {
      if (name < from) continue;
      if (++count > 2) {
        next = name;
        break;
      }
      items += (items.empty() ? "" : ",") + object(name, version, std::to_string(version));
    }
    answer.body = list(listed_version_, items, next);
    reflector.on_end(answer, now);
    if (chance(0.5)) write();
  }

  std::mt19937_64 random_;
  std::map<std::string, int> objects_;
  std::map<std::string, int> listed_;
  std::map<int, std::string> history_;
  int version_ = 10;
  int listed_version_ = 0;
  int compacted_ = 0;
};

TEST(ReflectorSimulation, EndsUpWithWhatTheServerHasWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Server server(seed);
    server.has_watch_list = seed % 3 != 0;
    Cache cache;
    Reflector reflector(kConfigMaps, {"shop", {}, {}}, cache, [] { return 0.5; });
    Monotonic now{seconds{1}};
    for (int step = 0; step < 120; ++step) {
      if (server.chance(0.1)) server.compact();
      reflector.on_reachable(now);
      now = std::max(now, reflector.due());
      const auto request = reflector.take_request(now);
      ASSERT_TRUE(request.has_value()) << "seed " << seed << " step " << step;
      server.play(reflector, *request, now);
    }
    // Until a watch has come through whole.
    bool is_equal = false;
    for (int step = 0; step < 200 && !is_equal; ++step) {
      reflector.on_reachable(now);
      now = std::max(now, reflector.due());
      const auto request = reflector.take_request(now);
      ASSERT_TRUE(request.has_value());
      server.play(reflector, *request, now);
      is_equal = cache.objects == server.content();
    }
    EXPECT_TRUE(is_equal) << "seed " << seed;
    EXPECT_TRUE(reflector.is_synced());
  }
}

}  // namespace
}  // namespace handfast::kube
