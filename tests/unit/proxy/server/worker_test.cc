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
