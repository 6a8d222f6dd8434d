// Strict-Transport-Security: over TLS that ends here, of the backend's answers and of ours.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

constexpr std::string_view kOurs = "Strict-Transport-Security: max-age=60; preload\r\n";
constexpr std::string_view kTheirs = "strict-transport-security: max-age=1\r\n";

class StrictTransportTest : public handfast::testing::SessionFixture {
 protected:
  SnapshotMaker site() {
    return SnapshotMaker()
        .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
        .service("shop/orders:80", {backend_.address()})
        .strict_transport("max-age=60; preload");
  }
  // The head of the answer to a request for `host`; that of the backend, if it is asked, has a
  // field of its own.
  template <class Client>
  std::string answer(Client& client, const std::string& host) {
    client.send("GET /a HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    if (host == "shop.example") {
      EXPECT_TRUE(backend_gets("\r\n\r\n", peers_++));
      backend_.last().send("HTTP/1.1 200 OK\r\n" + std::string(kTheirs) +
                           "Connection: close\r\nContent-Length: 0\r\n\r\n");
    }
    EXPECT_TRUE(
        driver_.until([&client] { return client.received.find("\r\n\r\n") != std::string::npos; }));
    return client.received;
  }
  static bool has(const std::string& text, std::string_view line) {
    return text.find(line) != std::string::npos;
  }

  std::size_t peers_ = 0;
};

TEST_F(StrictTransportTest, StandsInThePlaceOfTheBackendsOverTls) {
  publish(site());

  const std::string got = answer(connect_tls(), "shop.example");

  EXPECT_TRUE(has(got, kOurs)) << got;
  EXPECT_FALSE(has(got, kTheirs));
}

TEST_F(StrictTransportTest, IsInAnswersOfOurOwn) {
  publish(site());

  const std::string got = answer(connect_tls(), "other.example");

  EXPECT_TRUE(got.starts_with("HTTP/1.1 404 ")) << got;
  EXPECT_TRUE(has(got, kOurs));
}

TEST_F(StrictTransportTest, IsNotSaidInPlain) {
  publish(site());
  const std::string passed = answer(connect(), "shop.example");
  EXPECT_FALSE(has(passed, kOurs)) << passed;
  EXPECT_TRUE(has(passed, kTheirs));
  EXPECT_FALSE(has(answer(connect(), "other.example"), "Strict-Transport"));

  // Nor where somebody in front of us says that he ended TLS.
  context_.limits.trust.forwarded = NetworkSet::parse({"192.0.2.0/24"}).value();
  handfast::testing::Peer& told = connect();
  told.send("GET /a HTTP/1.1\r\nHost: other.example\r\nX-Forwarded-Proto: https\r\n\r\n");
  EXPECT_TRUE(client_gets(told, "\r\n\r\n"));
  EXPECT_FALSE(has(told.received, "Strict-Transport"));
}

TEST_F(StrictTransportTest, LeavesTheBackendsWhereItIsOff) {
  publish(site().strict_transport({}));
  EXPECT_TRUE(has(answer(connect_tls(), "shop.example"), kTheirs));
  EXPECT_FALSE(has(answer(connect_tls(), "other.example"), "Strict-Transport"));
}

}  // namespace
}  // namespace handfast::session
