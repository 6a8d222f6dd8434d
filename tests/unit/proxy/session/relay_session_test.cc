// Bytes without requests: TCP ports, and TLS that passes through.

#include "proxy/session/relay_session.h"

#include <string>

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::Peer;
using handfast::testing::SnapshotMaker;

constexpr std::uint16_t kPort = 9000;

config::TcpPort tcp_port() {
  config::TcpPort port;
  port.port = kPort;
  port.route.service = "shop/db:5432";
  port.route.idle_timeout_ms = 10'000;
  return port;
}

class RelaySessionTest : public handfast::testing::SessionFixture {
 protected:
  void serve_port(config::TcpPort port) {
    publish(SnapshotMaker()
                .tcp(std::move(port))
                .service("shop/db:5432", {backend_.address(), second_.address()}));
  }
  // A relay in which the client said "hello".
  Peer& open() {
    serve_port(tcp_port());
    Peer& client = connect_tcp(kPort);
    client.send("hello");
    EXPECT_TRUE(driver_.until([this] { return served() != nullptr; }));
    return client;
  }
  // The backend's end of the newest connection, once it has bytes.
  Peer* served() {
    for (auto* backend : {&backend_, &second_}) {
      if (!backend->peers.empty() && !backend->last().received.empty()) return &backend->last();
    }
    return nullptr;
  }
};

TEST_F(RelaySessionTest, CarriesBytesBothWaysAndEachEnd) {
  Peer& client = open();
  Peer& backend = *served();
  const std::string noise(300'000, 'n');

  client.send(noise);
  client.finish();
  EXPECT_TRUE(driver_.until([&] { return backend.ended; }));
  backend.send(noise);
  backend.finish();
  EXPECT_TRUE(client_ends(client));

  EXPECT_EQ(backend.received, "hello" + noise);
  EXPECT_EQ(client.received, noise);
  EXPECT_FALSE(client.reset);
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].status, 200);
  EXPECT_FALSE(seen_[0].cut);
  EXPECT_EQ(seen_[0].request_bytes, noise.size() + 5);
  EXPECT_EQ(seen_[0].response_bytes, noise.size());
  EXPECT_TRUE(sessions_.empty());
  EXPECT_EQ(pool_.total(), 0U);
}

TEST_F(RelaySessionTest, BackendThatEndsFirstStillGetsEverything) {
  Peer& client = open();
  Peer& backend = *served();
  backend.finish();
  ASSERT_TRUE(driver_.until([&] { return client.ended; }));
  backend.reading = false;
  const std::string noise(8'000'000, 'n');

  client.send(noise);
  client.finish();
  driver_.settle(20);
  backend.reading = true;

  EXPECT_TRUE(driver_.until([&] { return backend.ended; }));
  EXPECT_EQ(backend.received.size(), noise.size() + 5);
  EXPECT_FALSE(backend.reset);
  EXPECT_EQ(pool_.total(), 0U);
}

TEST_F(RelaySessionTest, ResetOfTheBackendIsTheClients) {
  Peer& client = open();
  served()->abort();

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.reset);
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_TRUE(seen_[0].cut);
}

TEST_F(RelaySessionTest, ResetOfTheClientIsTheBackends) {
  Peer& client = open();
  Peer& backend = *served();
  client.abort();

  EXPECT_TRUE(driver_.until([&] { return backend.ended; }));
  EXPECT_TRUE(backend.reset);
  EXPECT_TRUE(sessions_.empty());
}

TEST_F(RelaySessionTest, SilenceEndsItAndAByteKeepsIt) {
  Peer& client = open();
  Peer& backend = *served();
  for (int i = 0; i < 3; ++i) {
    clock_.advance(std::chrono::seconds(8));
    (i % 2 == 0 ? client : backend).send("x");
    driver_.settle(8);
    EXPECT_FALSE(client.ended);
  }

  clock_.advance(std::chrono::seconds(11));

  EXPECT_TRUE(client_ends(client));
}

TEST_F(RelaySessionTest, RefusedEndpointIsLeftForTheNext) {
  backend_.refuse();
  open();

  EXPECT_EQ(second_.peers.size(), 1U);
}

TEST_F(RelaySessionTest, RefusedRouteClosesWithItsWord) {
  config::TcpPort port = tcp_port();
  port.route.refused = config::Refusal{Reason::CaMissing, "no CA"};
  serve_port(port);
  Peer& client = connect_tcp(kPort);

  EXPECT_TRUE(client_ends(client));
  ASSERT_EQ(seen_.size(), 1U);
  EXPECT_EQ(seen_[0].reason, Reason::CaMissing);
  EXPECT_EQ(seen_[0].status, 503);
}

TEST_F(RelaySessionTest, ProxyHeaderIsReadAndHandedOn) {
  config::TcpPort port = tcp_port();
  port.expect_proxy_header = port.route.send_proxy_header = true;
  serve_port(port);
  const std::string header = "PROXY TCP4 198.51.100.7 198.51.100.1 1234 9000\r\n";

  connect_tcp(kPort).send(header + "hello");

  EXPECT_TRUE(driver_.until(
      [this] { return served() != nullptr && served()->received.ends_with("hello"); }));
  EXPECT_EQ(served()->received, header + "hello");
  EXPECT_TRUE(admitted_.empty()) << "the peer isn't believed";
}

TEST_F(RelaySessionTest, PortThatExpectsAHeaderTakesNothingElse) {
  config::TcpPort port = tcp_port();
  port.expect_proxy_header = true;
  serve_port(port);
  Peer& client = connect_tcp(kPort);
  client.send("GET / HTTP/1.1\r\n\r\n");

  EXPECT_TRUE(client_ends(client));
  ASSERT_EQ(refused_.size(), 1U);
  EXPECT_EQ(refused_[0], RefusedConnection::ProxyProtocolBad);
  EXPECT_EQ(served(), nullptr);
}

TEST_F(RelaySessionTest, ClientHelloOfAHostThatPassesGoesOnUntouched) {
  publish(SnapshotMaker()
              .passed("passed.example", "shop/db:5432")
              .service("shop/db:5432", {backend_.address()}));
  handfast::testing::SslCtx context = handfast::testing::make_client_ctx();
  auto [far, near] = handfast::testing::tcp_pair();
  handfast::testing::TlsPeer tls(std::move(far), context, false, "passed.example");
  Peer flight{std::move(near)};
  ASSERT_TRUE(driver_.until([&] {
    tls.pump();
    flight.pump();
    return flight.received.size() > 100;
  }));
  const std::string hello = flight.take();
  Peer& client = connect_to_tls_port();

  for (const char byte : hello) {
    EXPECT_TRUE(backend_.peers.empty());
    client.send({&byte, 1});
    driver_.settle(2);
  }

  EXPECT_TRUE(driver_.until([this] { return served() != nullptr; }));
  EXPECT_TRUE(driver_.until([&] { return served()->received == hello; }));
}

}  // namespace
}  // namespace handfast::session
