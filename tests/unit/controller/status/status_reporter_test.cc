#include "controller/status/status_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "controller/objects/json_reader.h"
#include "tests/support/times.h"

namespace handfast::status {
namespace {

using handfast::testing::FakeClock;
using handfast::testing::kYear2026;

using std::chrono::seconds;
using ::testing::HasSubstr;

class Wanted final : public Wishes {
 public:
  void want(Write write) override {
    const std::string key = write.key;
    writes[key] = std::move(write);
  }
  void forget(const std::string& key) override { writes.erase(key); }
  [[nodiscard]] std::string body(const std::string& key) const {
    const auto found = writes.find(key);
    return found == writes.end() ? "" : found->second.body;
  }
  std::map<std::string, Write> writes;
};

class StatusReporterTest : public ::testing::Test {
 protected:
  StatusReporterTest() {
    objects::IngressClass ours;
    ours.meta.name = "handfast";
    ours.controller = options.controller_name;
    state.apply(ours);
  }

  void add_ingress(const std::string& name, const std::string& class_name = "handfast") {
    objects::Ingress ingress;
    ingress.meta.ns = "shop";
    ingress.meta.name = name;
    ingress.meta.uid = "uid-" + name;
    ingress.class_name = class_name;
    state.apply(ingress);
  }

  void add_policy() {
    policy.meta.ns = "shop";
    policy.meta.name = "orders";
    policy.meta.uid = "uid";
    policy.meta.generation = 2;
    policy.targets = {{"api", ""}};
    state.apply(policy);
    objects::Service service;
    service.meta.ns = "shop";
    service.meta.name = "api";
    service.ports = {{"https", 443, {443, ""}, ""}};
    state.apply(service);
    auto bucket = std::make_shared<publish::StoredBucket>();
    bucket->shards["tls/shop/orders@utls/api:443"].hash = "aa";
    manifest.buckets[config::bucket_of("tls/shop/orders@utls/api:443")] = bucket;
    proxy.policies.resize(1);
    proxy.policies[0].name = "shop/orders@utls/api:443";
  }

  void tell() {
    reporter.tell(
        {.state = state,
         .are_ingresses_touched = are_ingresses_touched,
         .manifest = manifest,
         .is_served = is_served,
         .rejected = rejected,
         .proxy = &proxy,
         .is_gone = [this](const objects::ReplicaStatus& replica) { return replica.pod == dead; }});
  }

  // What was wanted is written, as the watch would show it.
  void write_policy() {
    for (const char* key :
         {"replica UpstreamTLSPolicy shop/orders", "status UpstreamTLSPolicy shop/orders"}) {
      const std::string body = wanted.body(key);
      if (body.empty()) continue;
      objects::JsonReader reader{body, 1};
      const auto object = reader.next();
      objects::PolicyStatus status = objects::read_policy_status(object->find("status"));
      if (!status.replicas.empty()) {
        policy.status.replicas = status.replicas;
      } else {
        policy.status.conditions = status.conditions;
        policy.status.rest = status.rest;
        policy.status.observed_generation = status.observed_generation;
      }
    }
    wanted.writes.clear();
    state.apply(policy);
  }

  FakeClock clock;
  Wanted wanted;
  translate::Options options;
  state::ClusterState state;
  publish::Manifest manifest;
  std::string dead = "pod-dead";
  bool is_served = true;
  bool are_ingresses_touched = true;
  std::map<std::string, config::Rejection, std::less<>> rejected;
  config::StateAnswer proxy;
  objects::UpstreamTlsPolicy policy;
  StatusReporter reporter{wanted,
                          clock,
                          options,
                          {.reporter = {"handfast.dev/ingress-controller", "pod-a"},
                           .installation = {},
                           .addresses = {},
                           .service = translate::NamespacedName{"handfast", "proxy"}}};
};

TEST_F(StatusReporterTest, OurIngressesAreToldTheServicesAddress) {
  add_ingress("one");
  add_ingress("two");
  add_ingress("other", "nginx");
  tell();
  EXPECT_TRUE(wanted.writes.empty()) << "the Service isn't there yet";

  objects::Service service;
  service.meta.ns = "handfast";
  service.meta.name = "proxy";
  service.type = objects::ServiceType::LoadBalancer;
  service.addresses = {{"203.0.113.7", ""}};
  state.apply(service);
  tell();
  EXPECT_EQ(wanted.writes.size(), 2U);
  EXPECT_THAT(wanted.body("status Ingress shop/one"), HasSubstr("203.0.113.7"));

  objects::Ingress told;
  told.meta.ns = "shop";
  told.meta.name = "one";
  told.meta.uid = "uid-one";
  told.class_name = "handfast";
  told.addresses = {{"203.0.113.7", ""}};
  state.apply(told);
  tell();
  EXPECT_EQ(wanted.writes.size(), 1U) << "what is told isn't wanted any more";
}

TEST_F(StatusReporterTest, IngressesAreLookedAtWhenOneOfThemIsTouched) {
  add_ingress("one");
  objects::Service service;
  service.meta.ns = "handfast";
  service.meta.name = "proxy";
  service.cluster_ip = "10.0.0.1";
  state.apply(service);
  are_ingresses_touched = false;
  tell();
  EXPECT_TRUE(wanted.writes.empty());
  are_ingresses_touched = true;
  tell();
  EXPECT_TRUE(wanted.writes.contains("status Ingress shop/one"));
  are_ingresses_touched = false;
  tell();
  EXPECT_EQ(wanted.writes.size(), 1U) << "what is wanted stays so";
}

TEST_F(StatusReporterTest, NodesCountWhereNothingElseIsNamed) {
  StatusReporter by_nodes{
      wanted, clock, options, {.reporter = {}, .installation = {}, .addresses = {}, .service = {}}};
  Addresses nodes;
  const auto tell_it = [&](bool is_touched) {
    by_nodes.tell({.state = state,
                   .are_ingresses_touched = is_touched,
                   .manifest = manifest,
                   .rejected = rejected,
                   .node_addresses = [&nodes] { return nodes; }});
  };
  add_ingress("one");
  tell_it(true);
  EXPECT_TRUE(wanted.writes.empty());

  nodes = {{"203.0.113.1", ""}};
  tell_it(false);
  EXPECT_THAT(wanted.body("status Ingress shop/one"), HasSubstr("203.0.113.1"));

  nodes.clear();  // another replica leads
  tell_it(false);
  EXPECT_TRUE(wanted.writes.empty());
}

TEST_F(StatusReporterTest, AnObjectMadeAnewHasItsOwnEvents) {
  add_ingress("one");
  translate::Finding finding;
  finding.severity = translate::Severity::Error;
  finding.reason = Reason::ServiceMissing;
  finding.object = {"Ingress", "shop", "one"};
  reporter.note({}, {finding});
  tell();
  const std::string first = wanted.writes.begin()->first;

  objects::Ingress anew;
  anew.meta.ns = "shop";
  anew.meta.name = "one";
  anew.meta.uid = "another";
  state.apply(anew);
  tell();
  ASSERT_EQ(wanted.writes.size(), 1U);
  EXPECT_NE(wanted.writes.begin()->first, first);
}

TEST_F(StatusReporterTest, APolicyIsToldOnce) {
  add_policy();
  tell();
  EXPECT_FALSE(wanted.writes.at("replica UpstreamTLSPolicy shop/orders").leader_only);
  EXPECT_TRUE(wanted.writes.at("status UpstreamTLSPolicy shop/orders").leader_only);
  EXPECT_THAT(wanted.writes.at("replica UpstreamTLSPolicy shop/orders").path,
              HasSubstr("/namespaces/shop/upstreamtlspolicies/orders/status?force=true&"
                        "fieldManager=handfast-replica-pod-a"));
  EXPECT_THAT(wanted.body("status UpstreamTLSPolicy shop/orders"),
              HasSubstr(R"("type":"Programmed","status":"True")"));
  write_policy();
  tell();
  EXPECT_TRUE(wanted.writes.empty());

  // Whoever alters it sees it right again.
  policy.status.conditions.front().status = "Unknown";
  state.apply(policy);
  tell();
  EXPECT_EQ(wanted.writes.size(), 1U);
}

TEST_F(StatusReporterTest, HandshakesAreNewsFromTimeToTime) {
  add_policy();
  tell();
  write_policy();
  clock.advance(StatusReporter::kHandshakeNews);
  proxy.endpoints = {{"shop/api:443", "10.0.0.1:443", "revoked", kYear2026}};
  tell();
  EXPECT_THAT(wanted.body("replica UpstreamTLSPolicy shop/orders"), HasSubstr("revoked"))
      << wanted.body("replica UpstreamTLSPolicy shop/orders");
  write_policy();
  proxy.endpoints[0].result = "ok";
  tell();
  EXPECT_FALSE(wanted.writes.contains("replica UpstreamTLSPolicy shop/orders"));
  clock.advance(StatusReporter::kHandshakeNews);
  tell();
  EXPECT_TRUE(wanted.writes.contains("replica UpstreamTLSPolicy shop/orders"));
}

TEST_F(StatusReporterTest, WhatADeadPodSaidIsTakenOut) {
  add_policy();
  policy.status.replicas.resize(2);
  policy.status.replicas[0].pod = "pod-dead";
  policy.status.replicas[1].pod = "pod-b";
  policy.status.replicas[1].observed_generation = 2;
  policy.status.replicas[1].programmed = "Pending";
  state.apply(policy);
  tell();
  const Write& prune = wanted.writes.at("prune pod-dead UpstreamTLSPolicy shop/orders");
  EXPECT_THAT(prune.path, HasSubstr("fieldManager=handfast-replica-pod-dead"));
  EXPECT_EQ(prune.body.find("replicas"), std::string::npos);
  EXPECT_TRUE(prune.leader_only);
  EXPECT_FALSE(wanted.writes.contains("prune pod-b UpstreamTLSPolicy shop/orders"));
  EXPECT_THAT(wanted.body("status UpstreamTLSPolicy shop/orders"), HasSubstr("Replica pod-b"));
}

TEST_F(StatusReporterTest, APodThatComesBackIsNotTakenOut) {
  add_policy();
  policy.status.replicas.resize(1);
  policy.status.replicas[0].pod = "pod-dead";
  state.apply(policy);
  tell();
  ASSERT_TRUE(wanted.writes.contains("prune pod-dead UpstreamTLSPolicy shop/orders"));

  dead.clear();
  tell();

  EXPECT_FALSE(wanted.writes.contains("prune pod-dead UpstreamTLSPolicy shop/orders"))
      << "who leads later would send it";
}

TEST_F(StatusReporterTest, OfSeveralInstallationsTheFirstThatUsesItWritesWhatIsCommon) {
  StatusReporter internal{wanted,
                          clock,
                          options,
                          {.reporter = {"handfast.dev/ingress-controller", "pod-a"},
                           .installation = "ops/internal",
                           .addresses = {},
                           .service = {}}};
  const auto tell_it = [&] {
    wanted.writes.clear();
    internal.tell({.state = state,
                   .are_ingresses_touched = false,
                   .manifest = manifest,
                   .is_served = true,
                   .rejected = rejected,
                   .proxy = &proxy});
  };
  add_policy();
  policy.status.replicas.resize(1);
  objects::ReplicaStatus& other = policy.status.replicas.front();
  other.installation = "ops/external";
  other.pod = "pod-a";
  other.observed_generation = 2;
  other.programmed = "Programmed";
  other.hash = "of other flags";
  state.apply(policy);
  tell_it();
  EXPECT_FALSE(wanted.writes.contains("status UpstreamTLSPolicy shop/orders"));
  EXPECT_THAT(wanted.writes.at("replica UpstreamTLSPolicy shop/orders").path,
              HasSubstr("fieldManager=handfast-replica-ops%2Finternal%2Fpod-a"));

  other.installation = "ops/zone";
  state.apply(policy);
  tell_it();
  EXPECT_THAT(wanted.body("status UpstreamTLSPolicy shop/orders"),
              HasSubstr(R"("type":"Programmed","status":"True")"));
  EXPECT_THAT(wanted.body("status UpstreamTLSPolicy shop/orders"), HasSubstr(R"("total":2)"));

  other.installation = "ops/external";
  other.programmed = "NotReferenced";
  state.apply(policy);
  tell_it();
  EXPECT_THAT(wanted.body("status UpstreamTLSPolicy shop/orders"), HasSubstr(R"("total":1)"))
      << "whose routes don't lead there has nothing to say";
}

TEST_F(StatusReporterTest, NothingIsWantedOfAPolicyThatIsGone) {
  add_policy();
  policy.status.replicas.resize(1);
  policy.status.replicas[0].pod = "pod-dead";
  state.apply(policy);
  tell();
  ASSERT_EQ(wanted.writes.size(), 3U);

  state.remove(objects::key(policy));
  tell();

  EXPECT_TRUE(wanted.writes.empty());
}

TEST_F(StatusReporterTest, TheNameOfAPodThatIsNoneStaysAName) {
  add_policy();
  policy.status.replicas.resize(1);
  policy.status.replicas[0].pod = dead = "x&dryRun=All y";
  state.apply(policy);

  tell();

  EXPECT_THAT(wanted.writes.at("prune x&dryRun=All y UpstreamTLSPolicy shop/orders").path,
              HasSubstr("fieldManager=handfast-replica-x%26dryRun%3DAll%20y"));
}

TEST_F(StatusReporterTest, FindingsAreEventsWhileTheyStand) {
  add_ingress("one");
  translate::Finding finding;
  finding.severity = translate::Severity::Error;
  finding.reason = Reason::ServiceMissing;
  finding.object = {"Ingress", "shop", "one"};
  finding.message = "There is no Service shop/x.";
  reporter.note({}, {finding});
  tell();
  ASSERT_EQ(wanted.writes.size(), 1U);
  EXPECT_THAT(wanted.writes.begin()->first, HasSubstr("event shop/one."));
  wanted.writes.clear();
  tell();
  EXPECT_TRUE(wanted.writes.empty());
  clock.advance(StatusReporter::kTellEventsAgain);
  tell();
  EXPECT_EQ(wanted.writes.size(), 1U);
  reporter.note({finding}, {});
  tell();
  EXPECT_TRUE(wanted.writes.empty());
}

}  // namespace
}  // namespace handfast::status
