#include "proxy/server/loader.h"

#include <limits>
#include <string>
#include <utility>

#include "tests/support/times.h"
#include "tests/unit/proxy/server/worker_fixture.h"

namespace handfast::server {
namespace {

class LoaderTest : public handfast::testing::WorkerFixture {
 protected:
  [[nodiscard]] std::uint64_t served() const {
    const auto snapshot = loader_.served();
    return snapshot == nullptr ? 0 : snapshot->generation;
  }
  void look(bool forced = false) {
    loader_.look(forced);
    wait_for_loader();
  }
  handfast::testing::TestAuthority root_{"root"};
};

TEST_F(LoaderTest, AnswersOnceEveryWorkerServesTheGeneration) {
  handfast::testing::ThreadedBackend backend("one");
  state_.write(1, plain_site(backend.address()));
  start();
  const auto answer = load(1);

  EXPECT_EQ(answer.generation, 1u);
  EXPECT_TRUE(answer.rejected.empty());
  EXPECT_EQ(served(), 1u);
}

TEST_F(LoaderTest, ARejectedGenerationLeavesTheServedOneAndSaysWhy) {
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  state_.write(1, app.shards());
  start();
  ASSERT_EQ(load(1).generation, 1u);
  app.tls.ca = {state_.put_file("orders", "ca.crt", "nothing")};
  state_.write(2, app.shards());
  const auto answer = load(2);

  EXPECT_EQ(answer.generation, 1u);
  ASSERT_EQ(answer.rejected.size(), 1u);
  EXPECT_EQ(answer.rejected[0].reason, Reason::BadCa);
  EXPECT_EQ(served(), 1u);
}

TEST_F(LoaderTest, FindsTheCurrentGenerationByItself) {
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  start();
  look();
  EXPECT_EQ(served(), 0u);
  state_.write(3, app.shards());
  state_.make_current(3);
  look();

  EXPECT_EQ(served(), 3u);
}

// The controller lets `current` follow after the acknowledgement: a look in between must not bring
// the generation before back, with the trust that was just reduced.
TEST_F(LoaderTest, NeverGoesBackToAnOlderGenerationByLooking) {
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  state_.write(1, app.shards());
  state_.write(2, app.shards());
  state_.make_current(1);
  start();
  ASSERT_EQ(load(2).generation, 2u);

  look();

  EXPECT_EQ(served(), 2u);
}

TEST_F(LoaderTest, TellsAControllerThatComesLaterWhatWasRefusedAtStart) {
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  app.tls.ca = {state_.put_file("orders", "ca.crt", "nothing")};
  state_.write(1, app.shards());
  state_.make_current(1);
  start();
  look();
  ASSERT_EQ(served(), 1u);
  const auto answer = load(1);

  EXPECT_EQ(answer.generation, 1u);
  ASSERT_EQ(answer.rejected.size(), 1u);
  EXPECT_EQ(answer.rejected[0].shard, "tls/shop/orders/orders:443");
}

// What was learned of a backend goes with the policy, the endpoint and the Service it was learned
// of.
TEST_F(LoaderTest, ForgetsHandshakesOfWhatIsGone) {
  const handfast::testing::FakeClock clock;
  LastHandshakes handshakes(clock);
  loader_.set_handshakes(&handshakes);
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  state_.write(1, app.shards());
  start();
  load(1);
  const auto served = loader_.served();
  const std::string key = served->find_policy(app.tls.name)->key;
  const net::Address here = served->find_service(app.service.name)->addresses.at(0);
  const net::Address gone = net::Address::parse("192.0.2.1:8443").value();
  const auto note = [&](const net::Address& address, std::string_view policy_key) {
    handshakes.on_handshake(
        {.service = &app.service.name, .address = &address, .policy_key = policy_key});
  };
  note(here, key);
  note(here, "key of a policy that ended");
  note(gone, key);

  app.service.endpoints.push_back({.address = "192.0.2.2", .port = 8443});
  state_.write(2, app.shards());
  load(2);
  EXPECT_EQ(handshakes.all().size(), 2u) << "the endpoint goes, policies didn't change";
  app.tls.names = {"other.shop.svc"};
  state_.write(3, app.shards());
  load(3);
  EXPECT_TRUE(handshakes.all().empty());

  note(here, "");
  state_.write(4, {});
  load(4);
  EXPECT_TRUE(handshakes.all().empty());
}

// Nobody can take them any more, and each rotation would leave some.
TEST_F(LoaderTest, DropsSessionsWithBackendsOfPoliciesThatAreGoneOrOutOfTime) {
  tls::SessionStore sessions;
  loader_.set_sessions(&sessions);
  handfast::testing::App app = handfast::testing::make_app(state_, "orders", root_);
  state_.write(1, app.shards());
  start();
  load(1);
  const std::string old_key = loader_.served()->find_policy(app.tls.name)->key;
  const auto put = [&](const std::string& policy_key, UnixSeconds use_until) {
    tls::StoredSession stored;
    stored.session.reset(SSL_SESSION_new());
    stored.use_until = use_until;
    sessions.put("address" + policy_key, std::move(stored));
  };
  constexpr UnixSeconds kNever = std::numeric_limits<UnixSeconds>::max();
  put(old_key, kNever);
  put(old_key, 1);

  app.service.endpoints.clear();
  state_.write(2, app.shards());
  load(2);
  EXPECT_EQ(sessions.size(), 1u);

  app.tls.identity = state_.put_pair("orders", root_.issue("client-2"));
  state_.write(3, app.shards());
  load(3);
  EXPECT_EQ(sessions.size(), 0u);
}

TEST_F(LoaderTest, ServesAFileWithoutAController) {
  start();
  state_.put("one.yaml", "this is no configuration\n");
  std::vector<Worker*> workers;
  for (auto& worker : workers_) workers.push_back(worker.get());
  Loader loader({{}, state_.path() + "/one.yaml"}, clock_, route_metrics_, process_metrics_,
                tls::make_default_certificate().value());
  loader.set_workers(workers);
  loader.start();
  loader.look(/*forced=*/true);
  std::promise<void> done;
  loader.post([&] { done.set_value(); });
  done.get_future().wait();

  EXPECT_EQ(loader.served(), nullptr);
  loader.stop();
}

}  // namespace
}  // namespace handfast::server
