#include "controller/status/node_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/times.h"

namespace handfast::status {
namespace {

using handfast::testing::FakeClock;

using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Answers at once, by the whole target; what isn't there, by 404.
class Server final : public kube::Api {
 public:
  Id send(kube::Request request, kube::Callbacks callbacks) override {
    asked.push_back(request.target);
    kube::Answer answer;
    const auto found = bodies.find(request.target);
    answer.status = forbidden == request.target ? 403 : found == bodies.end() ? 404 : 200;
    if (answer.status == 200) answer.body = found->second;
    callbacks.on_end(answer);
    return asked.size();
  }
  void cancel(Id) override {}

  std::map<std::string, std::string> bodies;
  std::string forbidden;
  std::vector<std::string> asked;
};

constexpr const char* kOwnPod = "/api/v1/namespaces/ops/pods/handfast-a";
constexpr const char* kPods =
    "/api/v1/namespaces/ops/pods?resourceVersion=0&labelSelector=app%3Dhandfast";

std::string pod(const std::string& node, const std::string& spec,
                const std::string& ready = "True") {
  return R"({"metadata":{},"spec":{"nodeName":")" + node + "\"," + spec +
         R"(},"status":{"phase":"Running","hostIP":"10.0.0.)" + node.substr(1) +
         R"(","conditions":[{"type":"Ready","status":")" + ready + R"("}]}})";
}

std::string with_host_port() {
  return R"("containers":[{"ports":[{"containerPort":8080,"hostPort":80}]}])";
}

std::string node(const std::string& external) {
  return R"({"status":{"addresses":[{"type":"InternalIP","address":"10.9.9.9"},
             {"type":"ExternalIP","address":")" +
         external + "\"}]}}";
}

class NodeAddressesTest : public ::testing::Test {
 protected:
  NodeAddressesTest() {
    server.bodies[kOwnPod] =
        R"({"metadata":{"labels":{"app":"handfast","pod-template-hash":"5d"}}})";
    set_pods({pod("n1", with_host_port())});
    server.bodies["/api/v1/nodes/n1"] = node("203.0.113.1");
  }

  void set_pods(const std::vector<std::string>& pods) {
    std::string items;
    for (const std::string& one : pods) items += (items.empty() ? "" : ",") + one;
    server.bodies[kPods] = "{\"items\":[" + items + "]}";
  }

  Addresses find_twice(NodeAddresses& nodes) {
    (void)nodes.find();
    return nodes.find();
  }

  Server server;
  FakeClock clock;
};

TEST_F(NodeAddressesTest, ANodeOfAReadyPodIsReachedAtItsExternalAddress) {
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  EXPECT_THAT(find_twice(nodes), ElementsAre(objects::LoadBalancerAddress{"203.0.113.1", ""}));
  EXPECT_EQ(server.asked.size(), 3U);
}

TEST_F(NodeAddressesTest, ANodeWithoutAnExternalAddressIsReachedAtThePodsHost) {
  server.bodies.erase("/api/v1/nodes/n1");
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  EXPECT_THAT(find_twice(nodes), ElementsAre(objects::LoadBalancerAddress{"10.0.0.1", ""}));
}

TEST_F(NodeAddressesTest, WhoWantsInternalAddressesAsksForNoNode) {
  NodeAddresses nodes{server, clock, {"ops", "handfast-a", true}};
  EXPECT_THAT(find_twice(nodes), ElementsAre(objects::LoadBalancerAddress{"10.0.0.1", ""}));
  EXPECT_EQ(server.asked.size(), 2U);
}

TEST_F(NodeAddressesTest, OnlyReadyPodsAtPortsOfTheirNodesCount) {
  set_pods({pod("n1", with_host_port(), "False"), pod("n2", R"("containers":[])"),
            pod("n3", R"("hostNetwork":true)"), pod("n3", R"("hostNetwork":true)")});
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  EXPECT_THAT(find_twice(nodes), ElementsAre(objects::LoadBalancerAddress{"10.0.0.3", ""}));
}

TEST_F(NodeAddressesTest, PodsAreAskedForOnceAMinuteAndNodesEachTen) {
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  (void)find_twice(nodes);
  clock.advance(NodeAddresses::kAgain);
  (void)find_twice(nodes);
  EXPECT_EQ(server.asked.size(), 5U);

  server.bodies["/api/v1/nodes/n1"] = node("203.0.113.9");
  clock.advance(NodeAddresses::kNodeAgain);
  EXPECT_THAT(find_twice(nodes), ElementsAre(objects::LoadBalancerAddress{"203.0.113.9", ""}));
}

TEST_F(NodeAddressesTest, WhileNobodyIsReadyItIsAskedSoonerButNotForever) {
  set_pods({pod("n1", with_host_port(), "False")});
  NodeAddresses nodes{server, clock, {"ops", "handfast-a", true}};
  EXPECT_THAT(find_twice(nodes), IsEmpty());
  for (const int seconds : {5, 10, 20, 40, 60, 60}) {
    const std::size_t before = server.asked.size();
    clock.advance(std::chrono::seconds{seconds - 1});
    EXPECT_THAT(find_twice(nodes), IsEmpty());
    EXPECT_EQ(server.asked.size(), before) << seconds;
    clock.advance(std::chrono::seconds{1});
    EXPECT_THAT(find_twice(nodes), IsEmpty());
    EXPECT_EQ(server.asked.size(), before + 2) << seconds;
  }

  set_pods({pod("n1", with_host_port())});
  clock.advance(NodeAddresses::kAgain);
  EXPECT_EQ(find_twice(nodes).size(), 1U);
  set_pods({});
  clock.advance(NodeAddresses::kAgain);
  EXPECT_THAT(find_twice(nodes), IsEmpty());
  set_pods({pod("n1", with_host_port())});
  clock.advance(NodeAddresses::kSoon);
  EXPECT_EQ(find_twice(nodes).size(), 1U);
}

TEST_F(NodeAddressesTest, WhatIsOldIsNotKnown) {
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  (void)find_twice(nodes);
  clock.advance(NodeAddresses::kTrust);
  EXPECT_THAT(nodes.find(), IsEmpty());
  EXPECT_EQ(nodes.find().size(), 1U);
}

TEST_F(NodeAddressesTest, WithoutPermissionNothingIsKnownAndItIsAskedAgain) {
  for (const char* forbidden : {kOwnPod, kPods, "/api/v1/nodes/n1"}) {
    server.forbidden = forbidden;
    NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
    EXPECT_THAT(find_twice(nodes), IsEmpty()) << forbidden;
    server.forbidden.clear();
    clock.advance(NodeAddresses::kAgain);
    EXPECT_EQ(find_twice(nodes).size(), 1U) << forbidden;
  }
}

TEST_F(NodeAddressesTest, APodWithoutLabelsStandsForItself) {
  server.bodies[kOwnPod] = R"({"metadata":{}})";
  server.bodies
      ["/api/v1/namespaces/ops/pods?resourceVersion=0&fieldSelector=metadata.name%3D"
       "handfast-a"] = server.bodies[kPods];
  NodeAddresses nodes{server, clock, {"ops", "handfast-a"}};
  EXPECT_EQ(find_twice(nodes).size(), 1U);
}

}  // namespace
}  // namespace handfast::status
