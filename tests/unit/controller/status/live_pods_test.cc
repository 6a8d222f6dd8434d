#include "controller/status/live_pods.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/times.h"

namespace handfast::status {
namespace {

using handfast::testing::FakeClock;

// Answers at once.
class Server final : public kube::Api {
 public:
  Id send(kube::Request request, kube::Callbacks callbacks) override {
    asked.push_back(request.target);
    kube::Answer answer;
    const auto found = pods.find(request.target.substr(request.target.rfind('/') + 1));
    answer.status = is_down ? 0 : found == pods.end() ? 404 : 200;
    if (answer.status == 200) answer.body = R"({"status":{"phase":")" + found->second + "\"}}";
    callbacks.on_end(answer);
    return asked.size();
  }
  void cancel(Id) override {}

  std::map<std::string, std::string> pods;
  std::vector<std::string> asked;
  bool is_down = false;
};

TEST(LivePods, AsksOnceAMinuteAndKnowsTheNextTime) {
  Server server;
  FakeClock clock;
  server.pods = {{"here", "Running"}, {"evicted", "Failed"}};
  LivePods pods{server, clock};
  for (const char* pod : {"here", "evicted", "deleted"}) (void)pods.is_gone("handfast", pod);
  EXPECT_EQ(server.asked.at(0), "/api/v1/namespaces/handfast/pods/here");

  EXPECT_FALSE(pods.is_gone("handfast", "here"));
  EXPECT_TRUE(pods.is_gone("handfast", "evicted"));
  EXPECT_TRUE(pods.is_gone("handfast", "deleted"));
  EXPECT_EQ(server.asked.size(), 3U);

  server.pods.erase("here");
  clock.advance(LivePods::kAgain);
  (void)pods.is_gone("handfast", "here");
  EXPECT_TRUE(pods.is_gone("handfast", "here"));
  EXPECT_EQ(server.asked.size(), 4U);

  server.pods["here"] = "Running";
  clock.advance(LivePods::kAgain);
  (void)pods.is_gone("handfast", "here");
  EXPECT_FALSE(pods.is_gone("handfast", "here")) << "a StatefulSet's comes back under its name";
}

TEST(LivePods, NobodyIsGoneBecauseTheServerIs) {
  Server server;
  FakeClock clock;
  server.is_down = true;
  LivePods pods{server, clock};
  EXPECT_FALSE(pods.is_gone("handfast", "here"));
  EXPECT_FALSE(pods.is_gone("handfast", "here"));
}

TEST(LivePods, PodsOfSeveralNamespacesAreToldApart) {
  Server server;
  FakeClock clock;
  LivePods pods{server, clock};
  (void)pods.is_gone("ops", "here");
  (void)pods.is_gone("edge", "here");
  EXPECT_EQ(server.asked.size(), 2U);
  EXPECT_EQ(server.asked.back(), "/api/v1/namespaces/edge/pods/here");
}

TEST(LivePods, ANameThatNoPodHasIsNotAsked) {
  Server server;
  FakeClock clock;
  LivePods pods{server, clock};
  EXPECT_TRUE(pods.is_gone("handfast", "../secrets/x"));
  EXPECT_TRUE(pods.is_gone("../x", "here"));
  EXPECT_TRUE(server.asked.empty());
}

}  // namespace
}  // namespace handfast::status
