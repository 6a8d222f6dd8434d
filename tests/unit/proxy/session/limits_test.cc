// Limits of what is under way at once, and what is answered beyond them.

#include <string>

#include "tests/unit/proxy/session/h2_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;
using http::Header;

class WorkerRequestsTest : public handfast::testing::H2Fixture {
 protected:
  WorkerRequestsTest() { context_.limits.worker_requests = 2; }
};

TEST_F(WorkerRequestsTest, OneTooManyIsAnswered503AndTheNextIsServed) {
  Peer& first = connect();
  Peer& second = connect();
  Peer& third = connect();
  first.send(kGet);
  ASSERT_TRUE(backend_gets());
  second.send(kGet);
  ASSERT_TRUE(backend_gets("\r\n\r\n", 1));
  third.send(kGet);

  ASSERT_TRUE(client_gets(third, "HTTP/1.1 503 "));
  EXPECT_EQ(refused_requests_, std::vector{RefusedRequest::WorkerRequests});
  EXPECT_EQ(seen_.back().status, 503);
  backend_.peers[0]->send(kOk);
  ASSERT_TRUE(client_gets(first, "ok"));
  third.take();
  third.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return context_.exchanges == 2; }));
  backend_.peers[0]->send(kOk);  // its connection serves again
  EXPECT_TRUE(client_gets(third, "ok"));
}

TEST_F(WorkerRequestsTest, StreamsCountAndGrpcIsToldByItsOwnStatus) {
  Client& client = dial();
  client.get();
  client.get();
  const std::array fields = {Header{"content-type", "application/grpc"}};
  client.ask("POST", "/svc/Do", fields, true);

  EXPECT_TRUE(hears(client, "5 response 200"));
  EXPECT_TRUE(client.heard("[grpc-status: 14]"));
  EXPECT_EQ(refused_requests_.size(), 1u);
}

class EndpointConnectionsTest : public handfast::testing::SessionFixture {
 protected:
  EndpointConnectionsTest() : SessionFixture({.max_per_endpoint = 1}) {}
};

TEST_F(EndpointConnectionsTest, AnotherEndpointTakesWhatOneHasNoConnectionFor) {
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
              .service("shop/orders:80", {backend_.address(), second_.address()}));
  for (int i = 0; i < 2; ++i) connect().send(kGet);
  ASSERT_TRUE(backend_gets());
  ASSERT_TRUE(driver_.until([&] { return second_.peers.size() == 1; }));

  Peer& third = connect();
  third.send(kGet);

  ASSERT_TRUE(client_gets(third, "HTTP/1.1 503 "));
  EXPECT_EQ(refused_requests_, std::vector{RefusedRequest::EndpointConnections});
  EXPECT_EQ(seen_.back().tries, 0);
  EXPECT_EQ(seen_.back().reason, Reason::NoEndpoints);
  backend_.last().send(kOk);
  ASSERT_TRUE(driver_.until([&] { return pool_.idle() == 1; }));
  third.take();
  third.send(kGet);
  EXPECT_TRUE(driver_.until([&] { return pool_.idle() == 0; }));
}

}  // namespace
}  // namespace handfast::session
