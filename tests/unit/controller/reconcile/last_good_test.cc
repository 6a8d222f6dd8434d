#include "controller/reconcile/last_good.h"

#include <set>

#include <gtest/gtest.h>

namespace handfast::reconcile {
namespace {

using translate::GoodItem;
using translate::ItemKey;
using translate::ItemKind;
using translate::LastGood;

const ItemKey kPair{"Secret", "shop", "orders-tls", ItemKind::KeyPair};
const ItemKey kCa{"ConfigMap", "shop", "roots", ItemKind::Ca};
const ItemKey kCrl{"Secret", "shop", "orders-tls", ItemKind::Crl};

config::KeyPairRef pair_of(const std::string& source) {
  return {"tls/shop/orders-tls/11/tls.pem", "tls/shop/orders-tls/11/tls.pem", source};
}

LastGood remembered(const config::Shard& shard) {
  LastGood items;
  remember_items(shard, items);
  return items;
}

TEST(RememberItems, TakesEachItemOfAPolicy) {
  config::UpstreamTls tls;
  tls.identity = pair_of("Secret/shop/orders-tls");
  tls.ca = {{"tls/shop/roots/22/ca.crt", "ConfigMap/shop/roots"}};
  tls.crl = {{"tls/shop/orders-tls/33/ca.crl", "Secret/shop/orders-tls"}};

  EXPECT_EQ(remembered(tls), (LastGood{{kPair, {"tls/shop/orders-tls/11", 0}},
                                       {kCa, {"tls/shop/roots/22", 0}},
                                       {kCrl, {"tls/shop/orders-tls/33", 0}}}));
}

TEST(RememberItems, TakesWhatPoliciesReferTo) {
  config::UpstreamTls tls;
  tls.identity = {"tls/pki/client/11/tls.p12", "tls/pki/client/11/tls.p12", "Secret/pki/client",
                  "tls/shop/pass/22/phrases"};
  tls.ca = {{"tls/shop/roots/33/ca.crt", "ConfigMap/shop/roots/bundle.pem"},
            {"tls/_cluster/mesh:roots/44/ca.crt", "ClusterTrustBundle/mesh:roots"}};
  tls.crl = {{"tls/shop/crl-1/55/ca.crl", "Secret/shop/crl-1+Secret/shop/crl-2/rest"}};

  ItemKey pair{"Secret", "pki", "client", ItemKind::KeyPair};
  pair.passphrases = "shop/pass/phrases";
  ItemKey crl{"Secret", "shop", "crl-1", ItemKind::Crl};
  crl.parts = {"Secret/shop/crl-2/rest"};
  EXPECT_EQ(
      remembered(tls),
      (LastGood{
          {pair, {"tls/pki/client/11", 0, "tls/shop/pass/22/phrases", translate::PairForm::Pkcs12}},
          {{"ConfigMap", "shop", "roots", ItemKind::Ca, "bundle.pem"}, {"tls/shop/roots/33"}},
          {{"ClusterTrustBundle", "", "mesh:roots", ItemKind::Ca}, {"tls/_cluster/mesh:roots/44"}},
          {crl, {"tls/shop/crl-1/55"}}}));
}

TEST(RememberItems, TakesTheCertificateOfAHostAndTheDefaultOne) {
  config::VirtualHost host;
  host.certificate = pair_of("Secret/shop/orders-tls");
  LastGood by_default;
  remember_items(pair_of("Secret/shop/orders-tls"), by_default);

  EXPECT_EQ(remembered(host), (LastGood{{kPair, {"tls/shop/orders-tls/11", 0}}}));
  EXPECT_EQ(by_default, remembered(host));
}

TEST(RememberItems, PassesOverWhatNoObjectStandsBehind) {
  for (const char* source : {"", "by hand", "Secret", "Secret/shop", "Secret/shop/", "Secret//x",
                             "Secret/shop/a/b", "Pod/shop/a", "/shop/a"}) {
    config::VirtualHost host;
    host.certificate = pair_of(source);
    EXPECT_TRUE(remembered(host).empty()) << source;
  }
  EXPECT_TRUE(remembered(config::VirtualHost{}).empty());
  EXPECT_TRUE(remembered(config::UpstreamTls{}).empty());
  EXPECT_TRUE(remembered(config::Service{}).empty());
}

class AfterAcknowledgement : public ::testing::Test {
 protected:
  LastGood after(const LastGood& wanted, const LastGood& before) {
    WantedItems items{.is_whole = true, .items = {}, .front = {}};
    for (const auto& [key, item] : wanted) items.items.emplace(key, item);
    return after_items(items, before);
  }
  LastGood after_items(const WantedItems& wanted, LastGood before) {
    const LastGood was = before;
    const auto others = acknowledge(wanted, before, [this](const std::string& directory) {
      return on_disk_.count(directory) != 0;
    });
    for (const ItemKey& key : {kPair, kCa, kCrl}) {
      const auto old = was.find(key);
      const auto now = before.find(key);
      const bool same = old == was.end() ? now == before.end()
                                         : now != before.end() && now->second == old->second;
      EXPECT_EQ(others.contains(key), !same);
    }
    return before;
  }
  std::set<std::string> on_disk_;
};

TEST_F(AfterAcknowledgement, WhatIsOnDiskIsLastGood) {
  on_disk_ = {"old", "new"};
  EXPECT_EQ(after({{kPair, {"new", 7}}}, {{kPair, {"old", 0}}}), (LastGood{{kPair, {"new", 7}}}));
}

TEST_F(AfterAcknowledgement, WhatTheProxyWouldNotTakeLeavesTheOneBefore) {
  on_disk_ = {"old"};
  EXPECT_EQ(after({{kPair, {"new", 0}}}, {{kPair, {"old", 0}}}), (LastGood{{kPair, {"old", 0}}}));
}

TEST_F(AfterAcknowledgement, AnItemWithNoFilesLeftIsForgotten) {
  EXPECT_TRUE(after({{kPair, {"new", 0}}}, {{kPair, {"old", 0}}}).empty());
  EXPECT_TRUE(after({{kPair, {"new", 0}}}, {}).empty());
}

TEST_F(AfterAcknowledgement, AChangeLeavesWhatItDoesNotName) {
  on_disk_ = {"old", "new"};
  const LastGood before{{kPair, {"old", 0}}, {kCa, {"old", 0}}, {kCrl, {"old", 0}}};
  const WantedItems wanted{
      .is_whole = false, .items = {{kPair, GoodItem{"new", 0}}, {kCrl, std::nullopt}}, .front = {}};

  EXPECT_EQ(after_items(wanted, before), (LastGood{{kPair, {"new", 0}}, {kCa, {"old", 0}}}));
}

TEST_F(AfterAcknowledgement, ChangesAddUp) {
  translate::Change first, second, whole;
  first.items = {{kPair, GoodItem{"old", 0}}, {kCa, GoodItem{"new", 0}}};
  second.items = {{kPair, GoodItem{"new", 0}}, {kCa, std::nullopt}};
  whole.is_whole = true;
  whole.items = {{kCrl, GoodItem{"new", 0}}};
  on_disk_ = {"old", "new"};
  WantedItems wanted;

  add_to(wanted, first);
  add_to(wanted, second);
  EXPECT_EQ(after_items(wanted, {}), (LastGood{{kPair, {"new", 0}}}));
  add_to(wanted, whole);
  EXPECT_EQ(after_items(wanted, {{kPair, {"new", 0}}}), (LastGood{{kCrl, {"new", 0}}}));
}

TEST_F(AfterAcknowledgement, APairWithoutItsPassphrasesIsNoPair) {
  const GoodItem pair{"pair", 0, "pass/phrases"};
  EXPECT_TRUE((on_disk_ = {"pair"}, after({{kPair, pair}}, {})).empty());
  EXPECT_EQ((on_disk_ = {"pair", "pass"}, after({{kPair, pair}}, {})), (LastGood{{kPair, pair}}));
}

TEST_F(AfterAcknowledgement, WhatIsGoneIsNotKept) {
  on_disk_ = {"old"};
  EXPECT_TRUE(after({}, {{kPair, {"old", 0}}}).empty());
}

TEST_F(AfterAcknowledgement, ItemsOfOneSecretAreKeptEachByItself) {
  on_disk_ = {"new pair", "old crl"};
  EXPECT_EQ(after({{kPair, {"new pair", 0}}, {kCrl, {"new crl", 0}}},
                  {{kPair, {"old pair", 0}}, {kCrl, {"old crl", 3}}}),
            (LastGood{{kPair, {"new pair", 0}}, {kCrl, {"old crl", 3}}}));
}

}  // namespace
}  // namespace handfast::reconcile
