// What a route's rules do to an exchange: body limits, retries, trailers, request ids.

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

class ExchangeRulesTest : public handfast::testing::SessionFixture {
 protected:
  void serve_with(const config::Route& route) {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route}))
                .service("shop/orders:80", {backend_.address(), second_.address()}));
  }
  static std::string post(std::string_view framing, std::string_view body) {
    return "POST / HTTP/1.1\r\nHost: shop.example\r\n" + std::string(framing) + "\r\n\r\n" +
           std::string(body);
  }
  [[nodiscard]] std::size_t asked() const { return backend_.peers.size() + second_.peers.size(); }
  // Both backends answer whatever comes with `bytes`.
  void answer_always(std::string_view bytes) {
    each_round_ = [this, bytes = std::string(bytes)] {
      for (auto* backend : {&backend_, &second_}) {
        for (auto& peer : backend->peers) {
          if (peer->take().find("\r\n\r\n") != std::string::npos) peer->send(bytes);
        }
      }
    };
  }

  config::Route route_ = route_to("/", "shop/orders:80");
};

TEST_F(ExchangeRulesTest, ABodyThatIsAnnouncedTooLargeIs413BeforeABackendIsAsked) {
  route_.max_body_bytes = 10;
  serve_with(route_);
  Peer& client = connect();
  client.send(post("Content-Length: 11", ""));

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 413 ")) << client.received;
  EXPECT_EQ(asked(), 0u);
}

TEST_F(ExchangeRulesTest, AChunkedBodyThatGrowsTooLargeIs413AndItsBackendConnectionCloses) {
  route_.max_body_bytes = 10;
  serve_with(route_);
  Peer& client = connect();
  client.send(post("Transfer-Encoding: chunked", "a\r\n0123456789\r\n"));
  ASSERT_TRUE(driver_.until([&] { return asked() == 1; }));
  driver_.settle();
  client.send("1\r\n0\r\n0\r\n\r\n");

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 413 ")) << client.received;
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(ExchangeRulesTest, ABodyOfExactlyTheLimitPasses) {
  route_.max_body_bytes = 10;
  serve_with(route_);
  answer_always(kOk);
  Peer& client = connect();
  client.send(post("Transfer-Encoding: chunked", "a\r\n0123456789\r\n0\r\n\r\n"));

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 200 "));
}

TEST_F(ExchangeRulesTest, AStatusThatTheRouteNamesIsTriedElsewhere) {
  route_.retry.statuses = {503};
  serve_with(route_);
  answer_always("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
  Peer& client = connect();
  client.send(kGet);

  ASSERT_TRUE(client_gets(client, "busy")) << "the last answer passes";
  EXPECT_EQ(asked(), 2u);
  EXPECT_EQ(seen_.back().tries, 2);
  EXPECT_EQ(seen_.back().upstream_status, 503);
}

TEST_F(ExchangeRulesTest, AStatusThatTheRouteDoesNotNamePasses) {
  route_.retry.statuses = {502};
  serve_with(route_);
  answer_always("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
  Peer& client = connect();
  client.send(kGet);

  ASSERT_TRUE(client_gets(client, "busy"));
  EXPECT_EQ(asked(), 1u);
}

// It may have had its effect.
TEST_F(ExchangeRulesTest, APostIsTriedElsewhereOnlyIfTheRouteSaysSo) {
  route_.retry.statuses = {503};
  serve_with(route_);
  answer_always("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy");
  Peer& client = connect();
  client.send(post("X: y", ""));
  ASSERT_TRUE(client_gets(client, "busy"));
  EXPECT_EQ(seen_.back().tries, 1);

  route_.retry.non_idempotent = true;
  serve_with(route_);
  client.take();
  client.send(post("X: y", ""));
  ASSERT_TRUE(client_gets(client, "busy"));
  EXPECT_EQ(seen_.back().tries, 2);
}

TEST_F(ExchangeRulesTest, TriesNoMoreOftenThanTheRouteSays) {
  route_.retry.tries = 1;
  serve_with(route_);
  backend_.refuse();
  second_.refuse();
  Peer& client = connect();
  client.send(kGet);

  ASSERT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().tries, 1);
}

TEST_F(ExchangeRulesTest, TriesNoFurtherAfterTheRoutesBudgetOfTime) {
  route_.retry.timeout_ms = 1;
  serve_with(route_);
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return asked() == 1; }));
  driver_.settle();
  clock_.advance(std::chrono::milliseconds(5));
  for (auto* backend : {&backend_, &second_}) {
    for (auto& peer : backend->peers) peer->finish();
  }

  ASSERT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().tries, 1);
}

TEST_F(ExchangeRulesTest, TrailersPassToWhoTakesThem) {
  answer_always(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 1\r\n\r\n");
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  ASSERT_TRUE(client_gets(client, "0\r\nSum: 1\r\n\r\n"));
  client.take();

  client.send(kGet);

  EXPECT_TRUE(client_gets(client, "0\r\n\r\n"));
}

TEST_F(ExchangeRulesTest, TrailersOfARequestPassToTheBackend) {
  Peer& client = connect();
  client.send(post("Transfer-Encoding: chunked", "1\r\nx\r\n0\r\nSum: 1\r\nX-Real-IP: 6\r\n\r\n"));

  ASSERT_TRUE(backend_gets("0\r\nSum: 1\r\n\r\n"));
  EXPECT_EQ(backend_.last().received.find("X-Real-IP: 6"), std::string::npos);
}

TEST_F(ExchangeRulesTest, TheClientsRequestIdPassesIfItCanStandInALog) {
  const auto id_sent_on = [this](const std::string& fields) {
    Peer& client = connect();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n" + fields + "\r\n");
    EXPECT_TRUE(backend_gets());
    const std::string request = backend_.last().take();
    backend_.last().send(kOk);
    EXPECT_TRUE(client_gets(client, "ok"));
    const std::size_t at = request.find("X-Request-ID: ") + 14;
    EXPECT_EQ(request.find("X-Request-ID: ", at), std::string::npos);
    return request.substr(at, request.find("\r\n", at) - at);
  };

  EXPECT_EQ(id_sent_on("X-Request-ID: abc-1\r\n"), "abc-1");
  for (const std::string& odd :
       {std::string("X-Request-ID: a b\r\n"), std::string("X_Request_ID: abc\r\n"),
        std::string("X-Request-ID: a\r\nX-Request-ID: b\r\n"),
        "X-Request-ID: " + std::string(129, 'a') + "\r\n"}) {
    EXPECT_EQ(id_sent_on(odd).size(), 32u) << odd;
  }
}

TEST_F(ExchangeRulesTest, AClientConnectionEndsInOrderAfterItsShareOfRequests) {
  context_.limits.keep_alive_requests = 2;
  answer_always(kOk);
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(client.take().find("close"), std::string::npos);
  client.send(kGet);

  EXPECT_TRUE(client_ends(client));
  EXPECT_NE(client.received.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(client.received.ends_with("ok"));
}

TEST_F(ExchangeRulesTest, AHeadThatIsRefusedGoesOnRecord) {
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");

  ASSERT_TRUE(client_ends(client));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 400);
  EXPECT_EQ(seen_[0].detail, "two Host fields");
}

TEST_F(ExchangeRulesTest, ABodyThatStallsIs408) {
  Peer& client = connect();
  client.send(post("Content-Length: 5", "x"));
  ASSERT_TRUE(backend_gets());
  clock_.advance(limits_.body + std::chrono::seconds(1));

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 408 ")) << client.received;
  EXPECT_EQ(seen_.back().status, 408);
}

}  // namespace
}  // namespace handfast::session
