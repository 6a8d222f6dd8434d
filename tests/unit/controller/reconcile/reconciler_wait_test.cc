// What a Reconciler does with a source that delivers only the Secrets that are referred to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/reconcile/reconciler.h"
#include "tests/unit/controller/reconcile/reconcile_fixture.h"

namespace handfast::reconcile {
namespace {

using namespace std::chrono_literals;
using testing::app_yaml;
using testing::batch_of;
using testing::ca_key;
using testing::pair_keys;
using testing::secret_yaml;

class Wishful final : public source::Source {
 public:
  void run(source::Sink& /*sink*/) override {}
  void stop() override {}
  bool want(std::set<objects::ObjectKey> references) override {
    wanted = std::move(references);
    ++calls;
    return false;
  }

  std::set<objects::ObjectKey> wanted;
  int calls = 0;
};

class ReconcilerWait : public testing::ReconcileFixture {
 protected:
  static objects::ObjectKey secret(const std::string& app) {
    return {"Secret", "shop", app + "-tls"};
  }
  void take(const std::string& yaml, const std::vector<objects::ObjectKey>& answered = {}) {
    source::Batch batch = batch_of(material_.fill(yaml));
    batch.answered = answered;
    waiting_.take(std::move(batch));
  }
  static std::string material(const std::string& app) {
    return secret_yaml(app, pair_keys("client.example") + ca_key("backends"));
  }
  void serve_orders() {
    take(app_yaml("orders"));
    waiting_.work();
    take(material("orders"), {secret("orders")});
    waiting_.work();
    ASSERT_EQ(publisher_.acknowledged(), 1U);
  }

  Wishful source_;
  Reconciler waiting_{{writer_, publisher_, metrics_, clock_, nullptr, &source_}, {}, {}};
};

TEST_F(ReconcilerWait, TellsWhatIsReferredToBeforeItPublishesAnything) {
  take(app_yaml("orders"));
  waiting_.work();

  EXPECT_TRUE(source_.wanted.contains(secret("orders")));
  EXPECT_EQ(writer_.newest(), 0U);
  advance(10min);
  waiting_.work();
  EXPECT_EQ(writer_.newest(), 0U) << "half of the hosts is never served";
  EXPECT_FALSE(waiting_.is_ready());

  take(material("orders"), {secret("orders")});
  waiting_.work();

  EXPECT_TRUE(waiting_.is_ready());
  EXPECT_FALSE(served_policy("orders").refused);
}

TEST_F(ReconcilerWait, GoesOnWithoutWhatIsNotThere) {
  take(app_yaml("orders"));
  waiting_.work();
  take("", {secret("orders")});
  waiting_.work();

  ASSERT_TRUE(served_policy("orders").refused);
  EXPECT_EQ(served_policy("orders").refused->reason, Reason::SecretMissing);
}

TEST_F(ReconcilerWait, WaitsForASecretThatIsReferredToLater) {
  serve_orders();
  take(app_yaml("pay"));
  waiting_.work();
  EXPECT_EQ(writer_.newest(), 1U);
  EXPECT_TRUE(source_.wanted.contains(secret("pay")));

  take(material("pay"), {secret("pay")});
  waiting_.work();

  EXPECT_EQ(writer_.newest(), 2U);
  EXPECT_FALSE(served_policy("pay").refused);
}

TEST_F(ReconcilerWait, HoldsUpOthersForASecondAtMost) {
  serve_orders();
  take(app_yaml("pay"));
  waiting_.work();
  ASSERT_EQ(writer_.newest(), 1U);

  advance(1s);
  waiting_.work();
  EXPECT_EQ(writer_.newest(), 2U);

  take(app_yaml("stock"));
  waiting_.work();
  EXPECT_EQ(writer_.newest(), 3U) << "the second is over until all have been answered";
  take("", {secret("pay"), secret("stock")});
  take(app_yaml("books"));
  waiting_.work();
  EXPECT_EQ(writer_.newest(), 3U);
}

TEST_F(ReconcilerWait, AskingTheProxyMeanwhileLosesNothingThatIsHeldBack) {
  serve_orders();
  advance(1500ms);
  waiting_.work();
  // A revocation, and an Ingress with a Secret that has to be looked for.
  take(app_yaml("pay") + secret_yaml("orders", ca_key("backends")));
  waiting_.work();
  ASSERT_EQ(writer_.newest(), 1U);

  advance(600ms);  // the time to ask the proxy comes first
  waiting_.work();
  ASSERT_EQ(writer_.newest(), 1U);
  take("", {secret("pay")});
  waiting_.work();

  EXPECT_EQ(writer_.newest(), 2U);
  EXPECT_FALSE(served_policy("orders").identity);
}

TEST_F(ReconcilerWait, WhatIsHeldBackGoesOutInTimeThoughTheProxyWasAskedMeanwhile) {
  serve_orders();
  advance(1500ms);
  waiting_.work();
  take(app_yaml("pay"));
  waiting_.work();
  advance(600ms);
  waiting_.work();

  advance(400ms);
  waiting_.work();

  EXPECT_EQ(writer_.newest(), 2U);
}

TEST_F(ReconcilerWait, AsksAgainForWhatWasLetGo) {
  serve_orders();
  waiting_.take(testing::batch_without({"Ingress", "shop", "orders"}));
  waiting_.work();
  ASSERT_FALSE(source_.wanted.contains(secret("orders")));
  const auto before = writer_.newest();

  take(app_yaml("orders"));
  waiting_.work();

  EXPECT_EQ(writer_.newest(), before);
}

TEST_F(ReconcilerWait, SaysNothingTwice) {
  serve_orders();
  const int calls = source_.calls;
  take(
      "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {ports: [{port: "
      "1}]}\n");
  waiting_.work();

  EXPECT_EQ(source_.calls, calls);
}

}  // namespace
}  // namespace handfast::reconcile
