#include "proxy/route/snapshot.h"

#include <gtest/gtest.h>

namespace handfast::route {
namespace {

class SnapshotTest : public ::testing::Test {
 protected:
  void add_host(const std::string& name) {
    config::VirtualHost host;
    host.host = name;
    auto& slot = snapshot_.buckets[snapshot_bucket(name)];
    auto bucket = slot == nullptr ? std::make_shared<SnapshotBucket>()
                                  : std::make_shared<SnapshotBucket>(*slot);
    bucket->hosts.put(std::make_shared<HostEntry>(host));
    slot = std::move(bucket);
  }
  std::string found(std::string_view host) const {
    const HostEntry* entry = snapshot_.find_host(host);
    return entry == nullptr ? "none" : "'" + entry->config.host + "'";
  }

  Snapshot snapshot_;
};

TEST_F(SnapshotTest, FindsNothingWhenEmpty) {
  EXPECT_EQ(found("shop.example"), "none");
  EXPECT_EQ(snapshot_.find_service("shop/a:80"), nullptr);
  EXPECT_EQ(snapshot_.find_policy("shop/a/a:80"), nullptr);
}

TEST(StrictTransport, IsWhatIngressNginxSaysUnlessTheFrontSaysOtherwise) {
  EXPECT_EQ(Snapshot().strict_transport, "max-age=31536000; includeSubDomains");
  config::Front front;
  front.hsts_max_age = 86'400;
  front.hsts_preload = true;
  EXPECT_EQ(strict_transport_of(front), "max-age=86400; includeSubDomains; preload");
  front = {};
  front.hsts_max_age = 0;
  front.hsts_include_subdomains = false;
  EXPECT_EQ(strict_transport_of(front), "max-age=0");
  front.hsts = false;
  EXPECT_EQ(strict_transport_of(front), "");
}

TEST(HostEntry, DoesNotReadTheExpressionsOfARouteThatIsRefused) {
  config::VirtualHost host;
  config::Route& route = host.routes.emplace_back();
  route.path = "/";
  route.hash_by = "$nothing";
  route.auth.emplace().target = "/$nothing";
  route.refused = config::Refusal{Reason::InvalidValue, ""};

  const HostEntry entry(host);

  EXPECT_TRUE(entry.rules[0].hash_by.parts.empty());
  EXPECT_EQ(entry.rules[0].auth, nullptr);
}

TEST(EntryMap, AnEntryTakesThePlaceOfTheOneOfItsName) {
  const std::string name = "a name that is too long to stand in the string itself";
  const auto service = [&name](bool external) {
    auto entry = std::make_shared<ServiceEntry>();
    entry->config.name = name;
    entry->config.external_name = external;
    return entry;
  };
  EntryMap<ServiceEntry> entries;
  entries.put(service(false));
  const EntryMap<ServiceEntry> before = entries;
  entries.put(service(true));

  EXPECT_EQ(entries.size(), 1u);
  ASSERT_NE(entries.find(name), nullptr);
  EXPECT_TRUE((*entries.find(name))->config.external_name);
  EXPECT_FALSE((*before.find(name))->config.external_name);
  entries.erase(name);
  EXPECT_EQ(entries.find(name), nullptr);
}

TEST_F(SnapshotTest, AnExactHostComesBeforeAWildcardAndThatBeforeTheCatchAll) {
  add_host("shop.example");
  add_host("*.example");
  add_host("");

  EXPECT_EQ(found("shop.example"), "'shop.example'");
  EXPECT_EQ(found("other.example"), "'*.example'");
  EXPECT_EQ(found("example"), "''");
  EXPECT_EQ(found(""), "''");
}

TEST_F(SnapshotTest, AWildcardStandsForExactlyOneLabel) {
  add_host("*.example");

  EXPECT_EQ(found("a.example"), "'*.example'");
  EXPECT_EQ(found("a.b.example"), "none");
  EXPECT_EQ(found("example"), "none");
  EXPECT_EQ(found(".example"), "none");
}

TEST_F(SnapshotTest, AHostTooLongForAnyNameIsNotFound) {
  add_host("*.example");

  EXPECT_EQ(found("a." + std::string(300, 'x')), "none");
}

TEST_F(SnapshotTest, ManyHostsAreAllFound) {
  for (int i = 0; i < 2000; ++i) add_host("h" + std::to_string(i) + ".example");
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "h" + std::to_string(i) + ".example";
    ASSERT_EQ(found(name), "'" + name + "'");
  }
}

}  // namespace
}  // namespace handfast::route
