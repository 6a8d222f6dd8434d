// Upgrades: an exchange that becomes a tunnel (RFC 9110 section 7.8, RFC 6455).

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::Peer;

class TunnelTest : public handfast::testing::SessionFixture {
 protected:
  static constexpr const char* kUpgrade =
      "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\n"
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n";
  static constexpr const char* kSwitched =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Accept: y\r\n\r\n";

  // A tunnel in which nothing has been said.
  Peer& open() {
    Peer& client = connect();
    client.send(kUpgrade);
    EXPECT_TRUE(backend_gets());
    backend_.last().take();
    backend_.last().send(kSwitched);
    EXPECT_TRUE(client_gets(client, "\r\n\r\n"));
    answer_ = client.take();
    return client;
  }

  std::string answer_;
};

TEST_F(TunnelTest, PassesTheHandshakeOnInBothDirections) {
  Peer& client = connect();
  client.send(kUpgrade);
  ASSERT_TRUE(backend_gets());
  const std::string request = backend_.last().take();
  backend_.last().send(kSwitched);
  ASSERT_TRUE(client_gets(client, "\r\n\r\n"));

  EXPECT_NE(request.find("Connection: upgrade\r\nUpgrade: websocket\r\n"), std::string::npos);
  EXPECT_NE(request.find("Sec-WebSocket-Key: x\r\n"), std::string::npos);
  EXPECT_EQ(request.find("keep-alive"), std::string::npos);
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_NE(client.received.find("Connection: upgrade\r\nUpgrade: websocket\r\n"),
            std::string::npos);
  EXPECT_NE(client.received.find("Sec-WebSocket-Accept: y\r\n"), std::string::npos);
}

TEST_F(TunnelTest, CarriesBytesAsTheyComeBothWays) {
  Peer& client = open();
  const std::string noise =
      std::string("\0GET / HTTP/1.1\r\n\r\n\x81", 20) + std::string(200'000, 'n');

  client.send(noise);
  backend_.last().send("0\r\n\r\n" + noise);

  EXPECT_TRUE(driver_.until([&] { return backend_.last().received == noise; }));
  EXPECT_TRUE(driver_.until([&] { return client.received == "0\r\n\r\n" + noise; }));
}

TEST_F(TunnelTest, BytesBehindTheRequestBelongToTheTunnel) {
  Peer& client = connect();
  client.send(std::string(kUpgrade) + "early");
  ASSERT_TRUE(backend_gets());
  EXPECT_EQ(backend_.last().take().find("early"), std::string::npos) << "not before the 101";
  backend_.last().send(std::string(kSwitched) + "hello");

  EXPECT_TRUE(client_gets(client, "hello"));
  EXPECT_TRUE(driver_.until([&] { return backend_.last().received == "early"; }));
}

TEST_F(TunnelTest, AnUpgradeThatTheBackendRefusesIsAnAnswerLikeAnyOther) {
  Peer& client = connect();
  client.send(kUpgrade);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  ASSERT_TRUE(client_gets(client, "\r\n\r\nno"));
  client.take();

  client.send(kGet);

  EXPECT_TRUE(backend_gets("GET /a "));
  EXPECT_EQ(backend_.peers.size(), 1u) << "kept alive on both sides";
}

TEST_F(TunnelTest, ABackendThatEndsItsSideStillHearsTheClient) {
  Peer& client = open();
  backend_.last().send("bye");
  backend_.last().finish();

  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(client.received, "bye");
  client.send("and you");
  client.finish();
  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
  EXPECT_EQ(backend_.last().received, "and you");
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 101);
  EXPECT_FALSE(seen_[0].cut);
}

TEST_F(TunnelTest, AClientThatEndsItsSideStillHearsTheBackend) {
  Peer& client = open();
  client.send("bye");
  client.finish();
  ASSERT_TRUE(driver_.until([&] { return backend_.last().ended; }));
  EXPECT_EQ(backend_.last().received, "bye");

  backend_.last().send("and you");
  backend_.last().finish();

  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(client.received, "and you");
}

TEST_F(TunnelTest, ConnectionsOfATunnelAreNeverPooled) {
  Peer& client = open();
  client.finish();
  ASSERT_TRUE(driver_.until([&] { return backend_.last().ended; }));
  backend_.last().finish();
  ASSERT_TRUE(client_ends(client));
  driver_.settle();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(TunnelTest, EndsAfterSilenceInBothDirections) {
  Peer& client = open();
  clock_.advance(std::chrono::seconds(40));
  driver_.settle();
  client.send("ping");  // either direction keeps it alive
  ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
  clock_.advance(std::chrono::seconds(40));
  driver_.settle();
  EXPECT_FALSE(client.ended);

  clock_.advance(std::chrono::seconds(30));

  EXPECT_TRUE(client_ends(client));
}

TEST_F(TunnelTest, AClientThatDoesNotReadStopsTheBackend) {
  Peer& client = open();
  client.reading = false;
  const std::size_t total = 32 << 20;
  backend_.last().send(std::string(total, 'x'));
  driver_.settle(200);
  EXPECT_GT(backend_.last().unsent(), total / 4);

  client.reading = true;

  EXPECT_TRUE(driver_.until([&] { return client.received.size() == total; }));
}

// What they carry would be requests that nobody here has seen.
TEST_F(TunnelTest, PassesNoUpgradeToHttp2OrTlsOn) {
  for (const char* protocol : {"h2c", "H2C", "HTTP/2.0", "TLS/1.0", "websocket, h2c", "a b"}) {
    Peer& client = connect();
    client.send(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nUpgrade: " +
        std::string(protocol) + "\r\n\r\n");
    ASSERT_TRUE(backend_gets()) << protocol;
    const std::string request = backend_.last().take();
    EXPECT_EQ(request.find("pgrade"), std::string::npos) << request;
    EXPECT_EQ(request.find("HTTP2"), std::string::npos) << request;
    backend_.last().send(kOk);
    ASSERT_TRUE(client_gets(client, "ok"));
  }
}

TEST_F(TunnelTest, AnUpgradeNeedsItsConnectionOptionAndNoBody) {
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  EXPECT_EQ(backend_.last().take().find("pgrade"), std::string::npos);
  backend_.last().send(kOk);
  ASSERT_TRUE(client_gets(client, "ok"));

  client.send(
      "POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 1\r\n\r\nx");
  ASSERT_TRUE(backend_gets());
  EXPECT_EQ(backend_.last().take().find("pgrade"), std::string::npos);
}

}  // namespace
}  // namespace handfast::session
