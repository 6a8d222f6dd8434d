#include "proxy/server/last_handshakes.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/times.h"

namespace handfast::server {
namespace {

class LastHandshakesTest : public ::testing::Test {
 protected:
  void note(const std::string& service, std::uint16_t port, std::string_view policy_key,
            Reason reason, std::string_view detail = {}) {
    const net::Address address = net::Address::from_ip("192.0.2.1", port).value();
    handshakes_.on_handshake({.service = &service,
                              .address = &address,
                              .tls = true,
                              .reason = reason,
                              .policy_key = policy_key,
                              .detail = detail});
  }

  route::ServiceEntry& put_service(const std::string& name, std::vector<std::uint16_t> ports) {
    auto entry = std::make_shared<route::ServiceEntry>();
    entry->config.name = name;
    for (const std::uint16_t port : ports) {
      entry->addresses.push_back(net::Address::from_ip("192.0.2.1", port).value());
    }
    auto bucket = std::make_shared<route::SnapshotBucket>();
    bucket->services.put(entry);
    snapshot_.buckets[route::snapshot_bucket(name)] = std::move(bucket);
    return *entry;
  }

  route::Snapshot snapshot_;
  handfast::testing::FakeClock clock_;
  LastHandshakes handshakes_{clock_};
};

TEST_F(LastHandshakesTest, TheLastOneCounts) {
  note("shop/orders:443", 443, "k", Reason::Revoked, "serial 01 is revoked");
  clock_.advance(std::chrono::seconds(5));
  note("shop/orders:443", 443, "k", Reason::Ok);

  const auto all = handshakes_.all();

  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].reason, Reason::Ok);
  EXPECT_EQ(all[0].detail, "");
  EXPECT_EQ(all[0].time, clock_.unix_now());
}

TEST_F(LastHandshakesTest, EachEndpointAndEachPolicyKeyHasItsOwn) {
  note("shop/orders:443", 444, "b", Reason::Ok);
  note("shop/orders:443", 443, "b", Reason::Revoked, "why");
  note("shop/orders:443", 443, "a", Reason::Ok);

  const auto all = handshakes_.all();

  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].policy_key, "a");
  EXPECT_EQ(all[1].policy_key, "b");
  EXPECT_EQ(all[1].detail, "why");
  EXPECT_EQ(all[2].address.port(), 444);
}

TEST_F(LastHandshakesTest, AServiceThatIsGoneIsForgotten) {
  note("shop/orders:443", 443, "a", Reason::Ok);
  note("shop/billing:443", 443, "a", Reason::Ok);

  handshakes_.forget_endpoints({"shop/orders:443", "shop/none:80"}, {});

  const auto all = handshakes_.all();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].service, "shop/billing:443");
}

TEST_F(LastHandshakesTest, AnEndpointThatIsGoneIsForgotten) {
  note("shop/orders:443", 443, "a", Reason::Ok);
  note("shop/orders:443", 444, "a", Reason::Ok);
  note("shop/orders:443", 444, "b", Reason::Ok);
  note("shop/billing:443", 444, "a", Reason::Ok);
  put_service("shop/orders:443", {443, 445});

  handshakes_.forget_endpoints({"shop/orders:443"}, snapshot_);

  const auto all = handshakes_.all();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].service, "shop/billing:443");
  EXPECT_EQ(all[1].address.port(), 443);
}

TEST_F(LastHandshakesTest, WhatAnExternalNameResolvedToStays) {
  note("shop/orders:443", 443, "a", Reason::Ok);
  put_service("shop/orders:443", {}).config.external_name = true;

  handshakes_.forget_endpoints({"shop/orders:443"}, snapshot_);

  EXPECT_EQ(handshakes_.all().size(), 1u);
}

TEST_F(LastHandshakesTest, APolicyThatIsGoneIsForgotten) {
  note("shop/orders:443", 443, "a", Reason::Ok);
  note("shop/orders:443", 443, "b", Reason::Ok);
  note("shop/orders:443", 443, "", Reason::Ok);

  handshakes_.forget_policies_but({"b"});

  const auto all = handshakes_.all();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].policy_key, "");
  EXPECT_EQ(all[1].policy_key, "b");
}

TEST_F(LastHandshakesTest, WhatIsForgottenMakesRoom) {
  for (std::size_t i = 0; i < LastHandshakes::kMost; ++i) {
    note("shop/orders:443", 443, std::to_string(i), Reason::Ok);
    if (i % 10'000 == 9'999) handshakes_.forget_policies_but({});
  }
  for (std::size_t i = 0; i < 1'000; ++i) {
    note("shop/orders:443", 443, std::to_string(i), Reason::Ok);
  }

  EXPECT_EQ(handshakes_.all().size(), 1'000u);
}

TEST_F(LastHandshakesTest, AnAuditIsToldOf) {
  const std::string service = "shop/orders:443";
  const net::Address address = net::Address::from_ip("192.0.2.1", 443).value();
  const pki::Verdict verdict{.detail = {}, .would_refuse = Reason::NameMismatch};
  handshakes_.on_handshake(
      {.service = &service, .address = &address, .tls = true, .verdict = &verdict});

  EXPECT_EQ(handshakes_.all().at(0).would_refuse, Reason::NameMismatch);
}

TEST_F(LastHandshakesTest, OfTooManyTheOldestGo) {
  constexpr std::size_t kMany = LastHandshakes::kMost + 5'000;
  std::string key;
  for (std::size_t i = 0; i < kMany; ++i) {
    if (i % 1'000 == 0) clock_.advance(std::chrono::seconds(1));
    key = std::to_string(i);
    note("shop/orders:443", 443, key, Reason::Ok);
  }

  const auto all = handshakes_.all();

  EXPECT_LE(all.size(), LastHandshakes::kMost);
  EXPECT_GE(all.size(), LastHandshakes::kMost / 3);
  EXPECT_TRUE(std::ranges::any_of(all, [&](const auto& last) { return last.policy_key == key; }));
}

TEST_F(LastHandshakesTest, ALongDetailIsCut) {
  note("shop/orders:443", 443, "", Reason::Protocol, std::string(100'000, 'x'));

  EXPECT_LE(handshakes_.all().at(0).detail.size(), 400u);
}

}  // namespace
}  // namespace handfast::server
