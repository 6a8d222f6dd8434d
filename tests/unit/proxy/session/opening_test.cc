#include "proxy/session/opening.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <string>

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::Peer;
using handfast::testing::TlsPeer;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kHeader = "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n";
// The same client in version 2.
const std::string kBlock = std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16) +
                           std::string("\xc6\x33\x64\x07\xc0\x00\x02\x01\x12\x67\0\x50", 12);
const std::string kLocal = std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);

// The clients of the fixture come from 192.0.2.9.
class OpeningTest : public handfast::testing::SessionFixture {
 protected:
  static NetworkSet only_the_peer() { return NetworkSet::parse({"192.0.2.9"}).value(); }
  void expect_proxy_header() { context_.limits.trust.proxy_protocol = only_the_peer(); }

  // What the backend is told of the client that these bytes come from; "" if it gets nothing.
  std::string address_of(const std::string& bytes, std::size_t cut) {
    Peer& client = connect();
    client.send(bytes.substr(0, cut));
    driver_.settle(4);
    client.send(bytes.substr(cut));
    const std::size_t before = backend_.peers.size();
    driver_.until([&] {
      return client.ended || (backend_.peers.size() > before &&
                              backend_.last().received.find("\r\n\r\n") != std::string::npos);
    });
    if (backend_.peers.size() == before) return "";
    const std::string got = backend_.last().take();
    client.close();
    driver_.settle(4);
    const std::size_t place = got.find("X-Real-IP: ") + 11;
    return got.substr(place, got.find('\r', place) - place);
  }
};

TEST_F(OpeningTest, TakesTheClientFromAHeaderThatItBelievesHoweverItArrives) {
  expect_proxy_header();
  for (const std::string& header : {kHeader, kBlock}) {
    for (std::size_t cut = 0; cut <= header.size() + 2; ++cut) {
      ASSERT_EQ(address_of(header + kGet, cut), "198.51.100.7") << cut;
    }
  }

  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_EQ(admitted_.back().to_string(), "198.51.100.7:4711");
}

TEST_F(OpeningTest, ServesALoadBalancersOwnConnectionAsThePeers) {
  expect_proxy_header();

  EXPECT_EQ(address_of(kLocal + kGet, 3), "192.0.2.9");
  EXPECT_EQ(address_of("PROXY UNKNOWN\r\n" + std::string(kGet), 3), "192.0.2.9");
  EXPECT_THAT(admitted_, IsEmpty());
}

TEST_F(OpeningTest, ReadsTheHeaderBeforeTls) {
  expect_proxy_header();
  for (const std::string& header : {kHeader, kBlock}) {
    TlsPeer& client = connect_tls();
    ASSERT_EQ(::send(client.fd(), header.data(), header.size(), 0), ssize_t(header.size()));
    client.send(kGet);

    ASSERT_TRUE(backend_gets("X-Real-IP: 198.51.100.7\r\n", backend_.peers.size()));
    EXPECT_NE(backend_.last().received.find("X-Forwarded-Proto: https\r\n"), std::string::npos);
  }
}

TEST_F(OpeningTest, ClosesAConnectionThatMustBeginWithAHeaderAndDoesNot) {
  expect_proxy_header();
  Peer& client = connect();
  client.send(kGet);

  ASSERT_TRUE(client_ends(client));
  EXPECT_EQ(client.received, "");
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::ProxyProtocolBad));
  EXPECT_THAT(backend_.peers, IsEmpty());
}

TEST_F(OpeningTest, ClosesATlsConnectionThatMustBeginWithAHeaderAndDoesNot) {
  expect_proxy_header();
  TlsPeer& client = connect_tls();

  ASSERT_TRUE(driver_.until([&] { return client.failed; }));
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::ProxyProtocolBad));
}

TEST_F(OpeningTest, ClosesAConnectionWhoseHeaderEndsHalfway) {
  expect_proxy_header();
  Peer& client = connect();
  client.send(kHeader.substr(0, 20));
  client.finish();

  ASSERT_TRUE(client_ends(client));
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::ProxyProtocolBad));
}

TEST_F(OpeningTest, ClosesAConnectionWhoseHeaderTakesTooLong) {
  expect_proxy_header();
  Peer& client = connect();
  client.send(kHeader.substr(0, 20));
  driver_.settle();

  clock_.advance(std::chrono::seconds(11));

  ASSERT_TRUE(client_ends(client));
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::ProxyProtocolTimeout));
}

TEST_F(OpeningTest, CountsNoHealthCheckThatOnlyConnects) {
  expect_proxy_header();
  Peer& client = connect();
  client.finish();

  ASSERT_TRUE(client_ends(client));
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_THAT(sessions_, IsEmpty());
}

TEST_F(OpeningTest, ClosesAConnectionWhoseClientHasTooMany) {
  expect_proxy_header();
  admits_ = false;
  Peer& client = connect();
  client.send(kHeader + kGet);

  ASSERT_TRUE(client_ends(client));
  EXPECT_EQ(admitted_.size(), 1u);
  EXPECT_THAT(backend_.peers, IsEmpty());
}

TEST_F(OpeningTest, ClosesAConnectionWithAHeaderThatItDoesNotBelieve) {
  context_.limits.trust.proxy_protocol = NetworkSet::parse({"10.0.0.0/8"}).value();
  for (const std::string& header : {kHeader, kBlock, kLocal}) {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{9}, header.size()}) {
      EXPECT_EQ(address_of(header + kGet, cut), "") << cut;
    }
  }

  EXPECT_EQ(refused_.size(), 9u);
  EXPECT_EQ(refused_.back(), RefusedConnection::ProxyProtocolUnexpected);
  EXPECT_THAT(backend_.peers, IsEmpty());
}

TEST_F(OpeningTest, BelievesOneHeaderAndNoSecond) {
  expect_proxy_header();

  EXPECT_EQ(address_of(kHeader + kHeader + kGet, 5), "");
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::ProxyProtocolUnexpected));
}

TEST_F(OpeningTest, CountsWhatIsNotTlsWhereTlsIsExpected) {
  TlsPeer& client = connect_tls();
  ASSERT_EQ(::send(client.fd(), kHeader.data(), kHeader.size(), 0), ssize_t(kHeader.size()));

  ASSERT_TRUE(driver_.until([&] { return client.failed; }));
  EXPECT_THAT(refused_, ElementsAre(RefusedConnection::NotTls));
}

TEST_F(OpeningTest, ClosesWhatIsSilentAtADrain) {
  expect_proxy_header();
  Peer& client = connect();
  driver_.settle();

  sessions_.front()->drain();

  EXPECT_TRUE(client_ends(client));
  EXPECT_THAT(refused_, IsEmpty());
}

// Behind a load balancer that ends TLS the plain listener serves HTTPS, and does not redirect.
TEST_F(OpeningTest, TakesAClientOfThePublicHttpsPortForOneOfHttps) {
  expect_proxy_header();
  config::Route route = handfast::testing::route_to("/", "shop/orders:80");
  route.ssl_redirect = true;
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Peer& client = connect();
  client.send("PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n" + std::string(kGet));
  ASSERT_TRUE(backend_gets());
  Peer& plain = connect();
  plain.send("PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n" + std::string(kGet));

  EXPECT_NE(backend_.last().received.find("X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n"),
            std::string::npos);
  EXPECT_TRUE(client_gets(plain, "HTTP/1.1 308 "));
}

// A load balancer in front of a proxy in front of us.
TEST_F(OpeningTest, BelievesTheForwardingHeadersOfTheClientThatTheHeaderTellsOf) {
  expect_proxy_header();
  context_.limits.trust.forwarded = NetworkSet::parse({"198.51.100.0/24"}).value();
  const std::string request =
      "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n";

  EXPECT_EQ(address_of(kHeader + request, 0), "203.0.113.5");
  EXPECT_EQ(address_of(kLocal + request, 0), "192.0.2.9");
}

}  // namespace
}  // namespace handfast::session
