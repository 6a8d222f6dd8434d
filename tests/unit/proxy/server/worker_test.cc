#include "proxy/server/worker.h"

#include "tests/unit/proxy/server/worker_fixture.h"

namespace handfast::server {
namespace {

using handfast::testing::BlockingClient;
using handfast::testing::ThreadedBackend;

class WorkerTest : public handfast::testing::WorkerFixture {};

// Clients on several connections ask without pause while generations come; none fails, and what is
// asked after an acknowledgement is answered by the new backend.
TEST_F(WorkerTest, ServesWithoutAFailureWhileGenerationsChange) {
  ThreadedBackend one("one");
  ThreadedBackend two("two");
  state_.write(1, plain_site(one.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  std::atomic<bool> stop{false};
  std::atomic<int> good{0};
  std::atomic<int> bad{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      BlockingClient client(http_);
      while (!stop) ++(client.ask(kGet).starts_with("HTTP/1.1 200 ") ? good : bad);
    });
  }
  BlockingClient checker(http_);
  for (std::uint64_t generation = 2; generation <= 20; ++generation) {
    const bool even = generation % 2 == 0;
    state_.write(generation, plain_site(even ? two.address() : one.address()));
    ASSERT_EQ(load(generation).generation, generation);
    EXPECT_TRUE(checker.ask(kGet).ends_with(even ? "two" : "one")) << generation;
  }
  stop = true;
  for (auto& client : clients) client.join();

  EXPECT_EQ(bad, 0);
  EXPECT_GT(good, 0);
  std::string text;
  route_metrics_.write(text);
  EXPECT_NE(text.find("host=\"shop.example\""), std::string::npos);
}

TEST_F(WorkerTest, TellsOfEndpointsThatRest) {
  state_.write(1, plain_site(net::Address::from_ip("127.0.0.1", 1).value()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  BlockingClient client(http_);
  for (int i = 0; i < upstream::EndpointHealth::kFailuresToRest; ++i) {
    ASSERT_TRUE(client.ask(kGet).starts_with("HTTP/1.1 502 "));
  }
  std::vector<config::UnwellEndpoint> all;
  for (auto& worker : workers_) {
    std::promise<std::vector<config::UnwellEndpoint>> told;
    worker->tell_unwell([&](auto some) { told.set_value(std::move(some)); });
    for (auto& one : told.get_future().get()) all.push_back(std::move(one));
  }

  ASSERT_EQ(all.size(), 1u);  // each worker judges for itself
  EXPECT_EQ(all[0].service, "shop/orders:80");
  EXPECT_EQ(all[0].address, "127.0.0.1:1");
  EXPECT_EQ(all[0].state, "resting");
  EXPECT_EQ(all[0].failures, 3u);
}

TEST_F(WorkerTest, DrainsOnceItsClientsAreDone) {
  ThreadedBackend backend("one");
  state_.write(1, plain_site(backend.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  BlockingClient client(http_);
  ASSERT_TRUE(client.ask(kGet).ends_with("one"));
  for (auto& worker : workers_) {
    std::promise<void> drained;
    worker->drain([&] { drained.set_value(); });
    drained.get_future().wait();
    EXPECT_EQ(worker->sessions(), 0u);
  }
  EXPECT_EQ(client.ask(kGet), "");
}

std::string refusals(const ProcessMetrics& metrics, const std::string& reason) {
  std::string text;
  metrics.write(text);
  const std::string name = "handfast_connections_refused_total{reason=\"" + reason + "\"} ";
  const std::size_t place = text.find(name);
  if (place == std::string::npos) return "none";
  return text.substr(place + name.size(), text.find('\n', place) - place - name.size());
}

class WorkerConnectionsTest : public handfast::testing::WorkerFixture {
 protected:
  WorkerConnectionsTest() : WorkerFixture(session::Limits{.worker_connections = 1}) {}
};

TEST_F(WorkerConnectionsTest, RefusesMoreThanAWorkerMayHave) {
  ThreadedBackend backend("one");
  state_.write(1, plain_site(backend.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  std::size_t served = 0;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(http_));
    if (clients.back()->ask(kGet).ends_with("one")) ++served;
  }

  EXPECT_GE(served, 1u);
  EXPECT_LE(served, kWorkers);
  EXPECT_EQ(refusals(process_metrics_, "worker_connections"), std::to_string(12 - served));
  EXPECT_EQ(refusals(process_metrics_, "address_connections"), "0");
}

class AddressConnectionsTest : public handfast::testing::WorkerFixture {
 protected:
  AddressConnectionsTest() : WorkerFixture({}, 2) {}
};

TEST_F(AddressConnectionsTest, RefusesMoreThanAnAddressMayHaveInAllWorkers) {
  ThreadedBackend backend("one");
  state_.write(1, plain_site(backend.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  std::vector<std::unique_ptr<BlockingClient>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<BlockingClient>(http_));
    EXPECT_TRUE(clients.back()->ask(kGet).ends_with("one"));
  }
  for (int i = 0; i < 8; ++i) EXPECT_EQ(BlockingClient(http_).ask(kGet), "");

  EXPECT_EQ(refusals(process_metrics_, "address_connections"), "8");
  // A place is free again once its connection has ended.
  clients.pop_back();
  std::string answer;
  while (answer.empty()) answer = BlockingClient(http_).ask(kGet);
  EXPECT_TRUE(answer.ends_with("one"));
}

TEST_F(AddressConnectionsTest, HoldsNoPlaceAfterTheLastConnection) {
  ThreadedBackend backend("one");
  state_.write(1, plain_site(backend.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  for (int i = 0; i < 50; ++i) BlockingClient(http_).ask(kGet);
  while (workers_[0]->sessions() + workers_[1]->sessions() > 0) std::this_thread::yield();

  EXPECT_EQ(connection_limits_.addresses(), 0u);
}

// The process ends while a request waits for its backend: whatever is open is let go of in order.
TEST_F(WorkerTest, EndsInOrderWithARequestUnderWay) {
  handfast::testing::TestBackend silent;
  state_.write(1, plain_site(silent.address()));
  start();
  ASSERT_EQ(load(1).generation, 1u);
  const auto client = handfast::testing::Peer::connect(http_);
  client->send(kGet);
  while (silent.peers.empty() || silent.last().received.empty()) {
    client->pump();
    silent.pump();
  }
  loader_.stop();
  for (auto& worker : workers_) worker->stop();
  workers_.clear();
  silent.last().ended = false;
  while (!silent.last().ended) silent.pump();

  EXPECT_TRUE(silent.last().ended);
}

}  // namespace
}  // namespace handfast::server
