#include "controller/status/policy_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "controller/objects/json_reader.h"
#include "controller/status/text.h"

namespace handfast::status {
namespace {

using objects::ReplicaStatus;
using objects::StatusCondition;
using testing::HasSubstr;

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr const char* kNowText = "2027-01-15T08:00:00Z";

class PolicyStatus : public testing::Test {
 protected:
  PolicyStatus() {
    policy.meta.ns = "shop";
    policy.meta.name = "orders";
    policy.meta.generation = 3;
    loaded.name = "shop/orders@utls/api:443";
    view.loaded = {&loaded};
    view.shards = {"tls/shop/orders@utls/api:443=aa"};
    view.is_served = true;
  }

  void find(translate::Condition condition, std::string message,
            translate::Severity severity = translate::Severity::Error) {
    findings.push_back({.severity = severity,
                        .reason = Reason::InvalidValue,
                        .object = {"UpstreamTLSPolicy", "shop", "orders"},
                        .origin = {},
                        .field = "spec.mode",
                        .message = std::move(message),
                        .remedy = "Change it.",
                        .condition = condition});
    view.findings.clear();
    for (const translate::Finding& one : findings) view.findings.push_back(&one);
  }

  [[nodiscard]] std::map<std::string, StatusCondition> conditions(
      const std::vector<ReplicaStatus>& replicas) const {
    std::map<std::string, StatusCondition> by_type;
    for (StatusCondition& one : policy_conditions(view, replicas, kNow)) {
      by_type[one.type] = std::move(one);
    }
    return by_type;
  }
  [[nodiscard]] std::map<std::string, StatusCondition> conditions() const {
    return conditions({replica_status(view, "ops/lease", "pod-a")});
  }

  objects::UpstreamTlsPolicy policy;
  config::PolicyState loaded;
  std::vector<translate::Finding> findings;
  PolicyView view{.policy = policy, .findings = {}, .shards = {}, .loaded = {}, .endpoints = {}};
};

TEST_F(PolicyStatus, WhatEveryReplicaServesIsProgrammed) {
  const ReplicaStatus one = replica_status(view, "ops/lease", "pod-a");
  EXPECT_EQ(one.programmed, "Programmed");
  EXPECT_EQ(one.observed_generation, 3);
  EXPECT_EQ(one.hash.size(), 64U);

  const auto told = conditions({one, replica_status(view, "ops/lease", "pod-b")});

  EXPECT_EQ(told.at("Programmed").status, "True");
  EXPECT_EQ(told.at("Programmed").last_transition, kNowText);
  EXPECT_EQ(told.at("Accepted").status, "True");
  EXPECT_EQ(told.at("ResolvedRefs").status, "True");
  EXPECT_EQ(told.at("Verified").status, "Unknown");
  EXPECT_EQ(told.at("RevocationFresh").reason, "NotConfigured");
  EXPECT_FALSE(told.contains("Degraded"));
}

TEST_F(PolicyStatus, OneReplicaThatLagsIsEnoughToBePending) {
  const ReplicaStatus good = replica_status(view, "ops/lease", "pod-a");
  ReplicaStatus old = good;
  old.pod = "pod-b";
  old.observed_generation = 2;
  EXPECT_EQ(conditions({good, old}).at("Programmed").reason, "Pending");
  EXPECT_THAT(conditions({good, old}).at("Programmed").message, HasSubstr("pod-b"));

  ReplicaStatus other = good;
  other.pod = "pod-c";
  other.hash = "something else";
  EXPECT_EQ(conditions({good, other}).at("Programmed").status, "False");

  view.is_served = false;
  EXPECT_EQ(replica_status(view, "ops/lease", "pod-d").programmed, "Pending");
  EXPECT_EQ(conditions({}).at("Programmed").reason, "Pending");
}

TEST_F(PolicyStatus, ARejectionOfTheProxyIsTold) {
  const config::Rejection rejection{"tls/shop/orders@utls/api:443", "identity.key", "",
                                    Reason::BadKey, "the key is of a kind that nobody knows"};
  view.rejected = &rejection;
  const auto told = conditions();
  EXPECT_EQ(told.at("Programmed").reason, "ProxyRejected");
  EXPECT_THAT(told.at("Programmed").message, HasSubstr("nobody knows"));
}

TEST_F(PolicyStatus, FindingsBecomeTheirConditions) {
  find({"Accepted", "Invalid"}, "It is wrong.");
  find({"ResolvedRefs", "InvalidCACertificateRef"}, "There is no such Secret.");
  find({"CredentialsHealthy", "ExpiringSoon"}, "It ends soon.", translate::Severity::Warning);
  find({"RevocationFresh", "Expired"}, "The list is old.");
  find({"Degraded", "InsecureSkipVerify"}, "Nothing is verified.", translate::Severity::Warning);
  const auto told = conditions();

  EXPECT_EQ(told.at("Accepted").status, "False");
  EXPECT_EQ(told.at("Accepted").reason, "Invalid");
  EXPECT_EQ(told.at("Accepted").message, "spec.mode: It is wrong. Change it.");
  EXPECT_EQ(told.at("ResolvedRefs").status, "False");
  EXPECT_EQ(told.at("CredentialsHealthy").reason, "ExpiringSoon");
  EXPECT_EQ(told.at("CredentialsHealthy").status, "False");
  EXPECT_EQ(told.at("RevocationFresh").reason, "Expired");
  EXPECT_EQ(told.at("Degraded").status, "True");
}

TEST_F(PolicyStatus, APreflightThatFailsIsTold) {
  find({"Verified", "HandshakeFailing"}, "Preflight: it was refused.",
       translate::Severity::Warning);
  EXPECT_EQ(conditions().at("Verified").status, "False");
  EXPECT_EQ(conditions().at("Verified").reason, "HandshakeFailing");

  findings.clear();
  find({"Programmed", "LastKnownGood"}, "Preflight: it was refused.", translate::Severity::Warning);
  EXPECT_EQ(conditions().at("Programmed").status, "False");
  EXPECT_EQ(conditions().at("Programmed").reason, "LastKnownGood");
}

TEST_F(PolicyStatus, ABundleWithABadEntryStillResolves) {
  find({"ResolvedRefs", "PartiallyInvalidCertificateRef"}, "Entry 2 has expired.",
       translate::Severity::Warning);
  EXPECT_EQ(conditions().at("ResolvedRefs").status, "True");
  EXPECT_EQ(conditions().at("ResolvedRefs").reason, "PartiallyInvalidCertificateRef");
}

TEST_F(PolicyStatus, LastGoodIsNotProgrammed) {
  find({"Programmed", "LastKnownGood"}, "The last good one serves.", translate::Severity::Warning);
  EXPECT_EQ(conditions().at("Programmed").status, "False");
  EXPECT_EQ(conditions().at("Programmed").reason, "LastKnownGood");
}

TEST_F(PolicyStatus, HandshakesDecideOnVerified) {
  const config::EndpointState good{"shop/api:443", "10.0.0.1:443", "ok", kNow};
  const config::EndpointState bad{"shop/api:443", "10.0.0.2:443", "name_mismatch", kNow};
  view.endpoints = {&good};
  EXPECT_EQ(conditions().at("Verified").status, "True");

  view.endpoints = {&good, &bad};
  const StatusCondition told = conditions().at("Verified");
  EXPECT_EQ(told.status, "False");
  EXPECT_EQ(told.reason, "NameMismatch");
  EXPECT_THAT(told.message, HasSubstr("10.0.0.2:443"));
}

TEST_F(PolicyStatus, ATimeStaysWhileTheStatusDoes) {
  policy.status.conditions = {{"Programmed", "True", "Programmed", "", 2, "2026-01-01T00:00:00Z"},
                              {"Accepted", "False", "Invalid", "", 2, "2026-01-01T00:00:00Z"}};
  const auto told = conditions();
  EXPECT_EQ(told.at("Programmed").last_transition, "2026-01-01T00:00:00Z");
  EXPECT_EQ(told.at("Programmed").observed_generation, 3);
  EXPECT_EQ(told.at("Accepted").last_transition, kNowText);
}

TEST_F(PolicyStatus, WhatIsRefusedOrUnusedIsNotProgrammed) {
  loaded.refused = "ca_missing";
  EXPECT_THAT(conditions().at("Programmed").message, HasSubstr("ca_missing"));
  EXPECT_EQ(conditions().at("Programmed").reason, "Refused");
  view.loaded.clear();
  view.shards.clear();
  EXPECT_EQ(conditions().at("Programmed").reason, "NotReferenced");
}

TEST_F(PolicyStatus, InstallationsWithoutARouteToItCountOnlyWhereNobodyHasOne) {
  const auto installations_of = [](const std::vector<ReplicaStatus>& replicas) {
    std::vector<std::string> names;
    for (const ReplicaStatus& replica : replicas_that_count(replicas)) {
      names.push_back(replica.installation);
    }
    return names;
  };
  ReplicaStatus a;
  a.installation = "a/a";
  a.programmed = "NotReferenced";
  ReplicaStatus b;
  b.installation = "b/b";
  b.programmed = "Programmed";
  EXPECT_EQ(installations_of({b, a}), (std::vector<std::string>{"b/b"}));
  b.programmed = "NotReferenced";
  EXPECT_EQ(installations_of({b, a}), (std::vector<std::string>{"a/a", "b/b"}));
  a.programmed = "Refused";
  EXPECT_EQ(installations_of({b, a}), (std::vector<std::string>{"a/a"}));
}

TEST_F(PolicyStatus, StatesAreComparedWithinAnInstallation) {
  ReplicaStatus one = replica_status(view, "ops/one", "pod-a");
  ReplicaStatus other = replica_status(view, "ops/other", "pod-b");
  other.hash = "of other flags";
  EXPECT_EQ(conditions({one, other}).at("Programmed").status, "True");
  other.installation = one.installation;
  EXPECT_EQ(conditions({one, other}).at("Programmed").status, "False");
}

TEST_F(PolicyStatus, BodiesAreReadBackAsTheyWereMeant) {
  loaded.sha256 = "ab";
  loaded.subject = "CN=\"orders\"";
  loaded.sans = {"URI:spiffe://td/orders", "DNS:orders"};
  loaded.not_after = kNow;
  loaded.ca_count = 2;
  loaded.ca_not_after = kNow;
  loaded.crls = {{"CN=ca", "7", kNow - 60, kNow, 5}};
  policy.client_certificate = objects::MaterialRef{"Secret", "", "client", ""};
  const std::vector<ReplicaStatus> replicas{replica_status(view, "ops/lease", "pod-a")};
  const auto told = policy_conditions(view, replicas, kNow);
  const std::string body = policy_body(view, told, replicas);
  objects::JsonReader reader{body, 1};
  const auto object = reader.next();
  ASSERT_TRUE(object) << body;
  const objects::Value* status = object->find("status");
  EXPECT_EQ(objects::read_policy_status(status).conditions, told);
  EXPECT_EQ(status->find("client")->find("secretRef")->scalar, "shop/client");
  EXPECT_EQ(status->find("client")->find("uriSANs")->list.size(), 1U);
  EXPECT_EQ(status->find("crl")->list.at(0).find("nextUpdate")->scalar, kNowText);
  EXPECT_EQ(status->find("proxies")->find("ready")->scalar, "1");

  // Told is what says the same, whenever it was written.
  objects::PolicyStatus wanted = objects::read_policy_status(status);
  objects::PolicyStatus told_before = wanted;
  told_before.conditions.front().last_transition = "2026-01-01T00:00:00Z";
  EXPECT_TRUE(is_told(told_before, wanted));
  loaded.serial = "01";
  const std::string newer = policy_body(view, told, replicas);
  objects::JsonReader third{newer, 1};
  EXPECT_FALSE(is_told(told_before, objects::read_policy_status(third.next()->find("status"))));

  const std::string own = replica_body(policy.meta, replicas.front());
  objects::JsonReader second{own, 1};
  const auto entry = second.next();
  ASSERT_TRUE(entry) << own;
  EXPECT_EQ(objects::read_policy_status(entry->find("status")).replicas, replicas);
}

TEST(CamelCase, IsTheWordsInCapitals) {
  EXPECT_EQ(camel_case("name_mismatch"), "NameMismatch");
  EXPECT_EQ(camel_case("revoked"), "Revoked");
  EXPECT_EQ(camel_case(""), "");
}

}  // namespace
}  // namespace handfast::status
