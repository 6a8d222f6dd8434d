#include "controller/reconcile/reconciler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/reconcile/reconcile_fixture.h"

namespace handfast::reconcile {
namespace {

using namespace std::chrono_literals;
using publish::testing::ScriptedProxy;
using testing::ca_key;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::pair_keys;
using testing::secret_yaml;

class ReconcilerTest : public testing::ReconcileFixture {
 protected:
  // The app "orders" is acknowledged.
  void serve_orders() {
    give_app("orders", "client.example", "backends");
    reconciler_.work();
    ASSERT_EQ(publisher_.acknowledged(), 1u);
  }
};

// ---- when ---------------------------------------------------------------------------------------

TEST_F(ReconcilerTest, PublishesNothingBeforeTheSourceHasToldAll) {
  source::Batch part = testing::batch_of(testing::app_yaml("orders"));
  part.synced = false;
  reconciler_.take(std::move(part));
  reconciler_.work();

  EXPECT_FALSE(reconciler_.due());
  EXPECT_TRUE(asked().empty());
  EXPECT_TRUE(files_.files().empty());
  EXPECT_FALSE(reconciler_.is_ready());
}

TEST_F(ReconcilerTest, PublishesAFullStateThoughItIsEmpty) {
  reconciler_.take({});
  reconciler_.work();

  EXPECT_EQ(current(), 1u);
  EXPECT_TRUE(reconciler_.is_ready());
}

TEST_F(ReconcilerTest, MakesOneGenerationOfABurst) {
  for (const char* app : {"orders", "pay", "stock"}) {
    give_app(app, "client.example", "backends");
  }
  reconciler_.work();

  EXPECT_EQ(writer_.newest(), 1u);
  EXPECT_THAT(asked(), ElementsAre(1));
}

TEST_F(ReconcilerTest, DoesNothingForABatchThatChangesNothing) {
  serve_orders();
  give_app("orders", "client.example", "backends");

  EXPECT_GT(wait(), 0ms);
  reconciler_.work();
  EXPECT_EQ(writer_.newest(), 1u);
}

TEST_F(ReconcilerTest, TriesAFailedRoundAgainLaterAndLater) {
  for (int i = 0; i < 9; ++i) reject_whole();
  give_app("orders", "client.example", "backends");
  std::vector<std::chrono::milliseconds> waits;
  for (int i = 0; i < 9; ++i) {
    reconciler_.work();
    waits.push_back(wait());
    advance(waits.back());
  }

  EXPECT_THAT(waits, ElementsAre(500ms, 1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s));
  reconciler_.work();
  EXPECT_TRUE(reconciler_.is_ready());
}

TEST_F(ReconcilerTest, DoesNotTryAgainBeforeItIsDue) {
  reject_whole();
  give_app("orders", "client.example", "backends");
  reconciler_.work();
  advance(499ms);
  reconciler_.work();

  EXPECT_EQ(asked().size(), 1u);
}

TEST_F(ReconcilerTest, AChangeDoesNotWaitForTheNextTry) {
  for (int i = 0; i < 2; ++i) reject_whole();
  give_app("orders", "client.example", "backends");
  reconciler_.work();
  advance(500ms);
  reconciler_.work();
  ASSERT_EQ(wait(), 1s);

  give_app("pay", "client.example", "backends");

  EXPECT_LE(wait(), 0ms);
  reconciler_.work();
  EXPECT_TRUE(reconciler_.is_ready());
}

TEST_F(ReconcilerTest, LooksAgainEveryHourBecauseTimeAloneMakesNews) {
  handfast::testing::CertificateOptions short_lived;
  short_lived.not_after = clock_.unix_now() + 1800;
  const handfast::testing::TestAuthority authority{"short", short_lived};
  give_app("orders", "client.example", "backends");
  objects::Secret secret;
  secret.meta.ns = "shop";
  secret.meta.name = "orders-tls";
  secret.data["ca.crt"].bytes = authority.cert_pem();
  source::Batch batch;
  batch.events.push_back({objects::key(secret), secret});
  reconciler_.take(std::move(batch));
  reconciler_.work();
  ASSERT_FALSE(served_policy("orders").refused);

  advance(1h);
  reconciler_.work();

  ASSERT_TRUE(served_policy("orders").refused);
  EXPECT_EQ(served_policy("orders").refused->reason, Reason::BadCa);
}

// ---- with the proxy -----------------------------------------------------------------------------

TEST_F(ReconcilerTest, TheProxyAcknowledgesBeforeCurrentMoves) {
  serve_orders();
  std::uint64_t current_when_asked = 0;
  proxy_.on_load = [&](std::uint64_t) { current_when_asked = current(); };
  give_app("pay", "client.example", "backends");
  reconciler_.work();

  EXPECT_EQ(current_when_asked, 1u);
  EXPECT_EQ(current(), 2u);
}

TEST_F(ReconcilerTest, CurrentStaysWhereItIsWhileAProxyDoesNotAnswer) {
  serve_orders();
  proxy_.script.be(ScriptedProxy::Kind::Failed);
  give_app("pay", "client.example", "backends");
  reconciler_.work();

  EXPECT_EQ(current(), 1u);
  EXPECT_EQ(wait(), 250ms);
  advance(250ms);
  reconciler_.work();
  EXPECT_EQ(current(), 2u);
}

TEST_F(ReconcilerTest, CurrentMovesWithoutAProxySoThatOneCanStart) {
  proxy_.script.be(ScriptedProxy::Kind::Absent);
  give_app("orders", "client.example", "backends");
  reconciler_.work();

  EXPECT_EQ(current(), 1u);
  EXPECT_FALSE(reconciler_.is_ready());
  advance(250ms);
  reconciler_.work();
  EXPECT_TRUE(reconciler_.is_ready());
}

TEST_F(ReconcilerTest, AsksTheProxyEveryTwoSecondsWhetherItStillServes) {
  serve_orders();

  EXPECT_EQ(wait(), 2s);
  advance(2s);
  reconciler_.work();
  EXPECT_THAT(asked(), ElementsAre(1, 1));
}

TEST_F(ReconcilerTest, ARejectedShardIsRefusedAndTheRestServedInTheSameRound) {
  give_app("orders", "client.example", "backends");
  give_app("pay", "client.example", "backends");
  proxy_.script.reject(rejection("orders", "identity"));
  reconciler_.work();

  EXPECT_THAT(asked(), ElementsAre(1, 2));
  EXPECT_EQ(current(), 2u);
  ASSERT_TRUE(served_policy("orders").refused);
  EXPECT_EQ(served_policy("orders").refused->reason, Reason::KeyMismatch);
  EXPECT_FALSE(served_policy("pay").refused);
}

TEST_F(ReconcilerTest, ARejectedItemStaysAtItsLastGoodInTheSameRound) {
  serve_orders();
  const config::UpstreamTls before = served_policy("orders");
  proxy_.script.reject(rejection("orders", "identity"));
  give_app("orders", "new-client.example", "new-backends");
  give_app("pay", "client.example", "backends");
  reconciler_.work();

  EXPECT_THAT(asked(), ElementsAre(1, 2, 3));
  EXPECT_EQ(current(), 3u);
  EXPECT_EQ(served_policy("orders").identity, before.identity);
  EXPECT_NE(served_policy("orders").ca, before.ca);
  EXPECT_FALSE(served_policy("pay").refused);
}

// A proxy without a descriptor left says the same of a revocation list.
TEST_F(ReconcilerTest, WhatTheProxyCouldNotReadIsTriedAgainThoughNothingChanges) {
  serve_orders();
  const config::UpstreamTls before = served_policy("orders");
  auto unread = rejection("orders", "ca");
  unread[0].reason = Reason::Io;
  proxy_.script.reject(unread);
  give_app("orders", "client.example", "new-backends");
  reconciler_.work();
  ASSERT_EQ(served_policy("orders").ca, before.ca);

  const auto pass = [this](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      advance(2s);
      reconciler_.work();
    }
  };
  pass(14);
  proxy_.script.reject(unread);
  pass(1);
  ASSERT_TRUE(proxy_.script.script.empty()) << "it is tried after half a minute";
  ASSERT_EQ(served_policy("orders").ca, before.ca);
  pass(15);

  EXPECT_NE(served_policy("orders").ca, before.ca);
  EXPECT_EQ(publisher_.replaced_count(), 0u);
}

TEST_F(ReconcilerTest, FilesThatSomebodyDamagedAreWrittenAnewWithinASecond) {
  serve_orders();
  const config::UpstreamTls policy = served_policy("orders");
  publish::testing::damage(files_, policy.identity->key, "");
  proxy_.script.reject(rejection("orders", "identity", policy.identity->certificate));
  advance(2s);
  reconciler_.work();
  ASSERT_LE(wait(), 1s);
  advance(wait());
  reconciler_.work();

  EXPECT_EQ(publisher_.acknowledged(), 2u);
  EXPECT_EQ(served_policy("orders"), policy);
  EXPECT_NE(files_.read_file(policy.identity->key).value(), "");
}

// ---- last good ----------------------------------------------------------------------------------

TEST_F(ReconcilerTest, ABadItemKeepsItsLastGoodAloneAndTheOthersAreNew) {
  serve_orders();
  const config::UpstreamTls before = served_policy("orders");
  give(secret_yaml("orders", "  tls.crt: torn\n  tls.key: torn\n" + ca_key("new-backends")));
  reconciler_.work();

  EXPECT_EQ(current(), 2u);
  EXPECT_EQ(served_policy("orders").identity, before.identity);
  EXPECT_NE(served_policy("orders").ca, before.ca);
  EXPECT_FALSE(served_policy("orders").refused);
}

TEST_F(ReconcilerTest, WhatIsGoneTakesEffectAtOnce) {
  serve_orders();
  reconciler_.take(testing::batch_without({"Secret", "shop", "orders-tls"}));
  reconciler_.work();

  EXPECT_EQ(current(), 2u);
  ASSERT_TRUE(served_policy("orders").refused);
  EXPECT_EQ(served_policy("orders").refused->reason, Reason::SecretMissing);
}

TEST_F(ReconcilerTest, AnItemThatIsGoneTakesEffectAtOnceThoughItsSecretStays) {
  serve_orders();
  give(secret_yaml("orders", pair_keys("client.example")));
  reconciler_.work();

  ASSERT_TRUE(served_policy("orders").refused);
  EXPECT_EQ(served_policy("orders").refused->reason, Reason::CaMissing);
}

TEST_F(ReconcilerTest, WhatTheProxyNeverAcknowledgedIsNotLastGood) {
  serve_orders();
  const config::UpstreamTls before = served_policy("orders");
  proxy_.script.be(ScriptedProxy::Kind::Failed);
  give_app("orders", "new-client.example", "backends");
  reconciler_.work();
  give(secret_yaml("orders", "  tls.crt: torn\n  tls.key: torn\n" + ca_key("backends")));
  reconciler_.work();

  EXPECT_EQ(served_policy("orders").identity, before.identity);
}

TEST_F(ReconcilerTest, WhatBecameCurrentWithoutAProxyIsLastGood) {
  proxy_.script.be(ScriptedProxy::Kind::Absent);
  give_app("orders", "client.example", "backends");
  reconciler_.work();
  const config::UpstreamTls before = served_policy("orders");
  give(secret_yaml("orders", pair_keys("client.example") + "  ca.crt: torn\n"));
  reconciler_.work();

  EXPECT_EQ(served_policy("orders"), before);
}

// ---- what is told -------------------------------------------------------------------------------

TEST_F(ReconcilerTest, TellsWhatBecameOfGenerations) {
  proxy_.script.be(ScriptedProxy::Kind::Absent);
  give_app("orders", "client.example", "backends");
  reconciler_.work();
  EXPECT_THAT(metrics_.render(), HasSubstr("publishes_total{result=\"pending\"} 1\n"));
  EXPECT_THAT(metrics_.render(), HasSubstr("handfast_generation 0\n"));
  advance(250ms);
  reconciler_.work();

  EXPECT_THAT(metrics_.render(), HasSubstr("publishes_total{result=\"acknowledged\"} 1\n"));
  EXPECT_THAT(metrics_.render(), HasSubstr("handfast_generation 1\n"));
  EXPECT_THAT(metrics_.render(), HasSubstr("last_publish_duration_seconds 0.25\n"));
}

TEST_F(ReconcilerTest, TellsWhatTheProxyWouldNotTake) {
  proxy_.script.reject(rejection("orders", "identity"));
  give_app("orders", "client.example", "backends");
  reconciler_.work();

  EXPECT_THAT(metrics_.render(), HasSubstr("rejected_shards_total{reason=\"key_mismatch\"} 1\n"));
  EXPECT_THAT(metrics_.render(), HasSubstr("handfast_controller_replaced_shards 1\n"));
}

TEST_F(ReconcilerTest, TellsRoutesThatAnswer503UntilTheyDoNot) {
  give(testing::app_yaml("orders"));
  reconciler_.work();
  EXPECT_THAT(metrics_.render(), HasSubstr("handfast_routes_refused{reason=\"secret_missing\"} 1"));

  give_app("orders", "client.example", "backends");
  reconciler_.work();
  EXPECT_THAT(metrics_.render(), Not(HasSubstr("handfast_routes_refused{")));
}

TEST_F(ReconcilerTest, TellsRoutesThatAreNotVerified) {
  translate::Options options;
  options.allow_insecure_upstream = {"shop/*"};
  Reconciler lenient{{writer_, publisher_, metrics_, clock_}, options, {}};
  lenient.take(testing::batch_of(
      testing::app_yaml("orders", "    nginx.ingress.kubernetes.io/proxy-ssl-verify: \"off\"\n")));
  lenient.take(testing::batch_of(
      material_.fill(secret_yaml("orders", pair_keys("client.example") + ca_key("backends")))));
  lenient.work();

  EXPECT_THAT(metrics_.render(),
              HasSubstr("handfast_routes_insecure{ingress=\"orders\",namespace=\"shop\"} 1\n"));
}

TEST_F(ReconcilerTest, TellsForHowLongAnItemHasBeenAtItsLastGood) {
  serve_orders();
  give(secret_yaml("orders", pair_keys("client.example") + "  ca.crt: torn\n"));
  reconciler_.work();
  advance(60s);
  reconciler_.work();

  EXPECT_THAT(metrics_.render(),
              HasSubstr("handfast_last_good_age_seconds{item=\"ca.crt\",namespace=\"shop\","
                        "secret=\"orders-tls\"} 60\n"));
}

TEST_F(ReconcilerTest, CountsObjectsAndWhatIsWrongWithThem) {
  give(testing::app_yaml("orders"));
  source::Batch batch;
  batch.skipped_documents = 3;
  batch.problems = {{{}, {"torn.yaml", 2}, "", {Reason::BadYaml, "is not YAML"}}};
  reconciler_.take(std::move(batch));
  reconciler_.work();

  const std::string text = metrics_.render();
  EXPECT_THAT(text, HasSubstr("handfast_controller_objects{kind=\"Ingress\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("handfast_controller_skipped_documents 3\n"));
  EXPECT_THAT(text, HasSubstr("findings{reason=\"bad_yaml\",severity=\"error\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("findings{reason=\"secret_missing\",severity=\"error\"} 1\n"));
}

// ---- keys of session tickets --------------------------------------------------------------------

class OwnTicketKeysTest : public testing::ReconcileFixture {
 protected:
  static constexpr std::chrono::seconds kInterval{12h};

  config::Front served() {
    const auto seen = publish::testing::read_current(files_);
    if (!seen || !seen->shards.contains("front/")) return {};
    return std::get<config::Front>(config::parse_shard(seen->shards.at("front/")).value());
  }
  std::string path() {
    const config::Front front = served();
    return front.ticket_keys.empty() ? "" : front.ticket_keys.front().path;
  }
  std::string bytes_of(const std::string& file) {
    const auto read = files_.read_file(file);
    return read && *read ? **read : "";
  }
  void rotate() {
    advance(kInterval);
    own_.work();
  }

  TicketRing ring_{kInterval};
  Reconciler own_{{writer_, publisher_, metrics_, clock_, &ring_}, {}, {}};
};

TEST_F(OwnTicketKeysTest, ArePublishedAndRotatedAndGoWithTheirGenerations) {
  own_.take({});
  own_.work();
  const std::string first = path();
  ASSERT_TRUE(files_.files().contains(first));
  EXPECT_EQ(bytes_of(first), ring_.bytes());
  EXPECT_LE(own_.due().value() - clock_.now(), kInterval);

  rotate();
  EXPECT_NE(path(), first);
  EXPECT_EQ(ring_.bytes().size(), 2 * 161U);
  rotate();
  rotate();

  EXPECT_EQ(current(), 4U);
  EXPECT_FALSE(files_.files().contains(first));
}

TEST_F(OwnTicketKeysTest, AreTakenUpByTheNextController) {
  own_.take({});
  own_.work();
  const std::string before = path();

  publish::GenerationWriter writer{files_};
  TicketRing ring{kInterval};
  ASSERT_TRUE(writer.recover([&](const config::Shard& shard) {
    const auto* front = std::get_if<config::Front>(&shard);
    if (front == nullptr) return;
    EXPECT_TRUE(ring.restore(front->ticket_keys.front(), bytes_of(before)));
  }));
  publish::Publisher publisher{writer, proxy_, clock_};
  Reconciler next{{writer, publisher, metrics_, clock_, &ring}, {}, {}};
  next.take({});
  next.work();

  EXPECT_EQ(path(), before);
}

TEST_F(OwnTicketKeysTest, AreNoneWhereASecretHasSomeOrThereAreNoTickets) {
  translate::Options options;
  options.session_tickets = translate::NamespacedName{"shop", "tickets"};
  options.config_map = translate::NamespacedName{"shop", "config"};
  Reconciler reconciler{{writer_, publisher_, metrics_, clock_, &ring_}, options, {}};
  reconciler.take(
      testing::batch_of("apiVersion: v1\nkind: Secret\nmetadata: {name: tickets, namespace: shop}\n"
                        "data: {ticket.key: " +
                        std::string(64, 'A') + "}\n"));
  reconciler.work();
  ASSERT_EQ(served().ticket_keys.size(), 1U);
  EXPECT_EQ(served().ticket_keys[0].source, "Secret/shop/tickets");

  reconciler.take(testing::batch_without({"Secret", "shop", "tickets"}));
  reconciler.work();
  EXPECT_TRUE(TicketRing::is_own(served().ticket_keys.at(0)));

  reconciler.take(testing::batch_of(
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: shop}\n"
      "data: {ssl-session-tickets: \"false\"}\n"));
  reconciler.work();
  EXPECT_TRUE(served().ticket_keys.empty());
  EXPECT_FALSE(served().session_tickets);
}

}  // namespace
}  // namespace handfast::reconcile
