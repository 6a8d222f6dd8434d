// Where a request goes, and what happens when that fails: plain backends.

#include "proxy/session/exchange.h"

#include <algorithm>

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

class ExchangeTest : public handfast::testing::SessionFixture {
 protected:
  // Both backends behind one Service.
  void serve_two() {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
                .service("shop/orders:80", {backend_.address(), second_.address()}));
  }
  // One exchange over the first backend's connection, which stays in the pool.
  void warm_up(Peer& client) {
    client.send(kGet);
    ASSERT_TRUE(backend_gets());
    backend_.last().take();
    backend_.last().send(kOk);
    ASSERT_TRUE(client_gets(client, "ok"));
    client.take();
  }
  std::string answer_to(const std::string& request) {
    Peer& client = connect();
    client.send(request);
    EXPECT_TRUE(client_gets(client, "\r\n\r\n"));
    return client.received.substr(9, 3);
  }
};

TEST_F(ExchangeTest, AnswersWhatHasNoRouteItself) {
  EXPECT_EQ(answer_to("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n"), "404");
  EXPECT_EQ(seen_.back().reason, Reason::NoRoute);
  EXPECT_EQ(answer_to("GET / HTTP/1.0\r\n\r\n"), "404");
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTest, FindsTheHostWhateverItsCaseItsPortOrItsDot) {
  for (const char* host :
       {"SHOP.example", "shop.example:8080", "shop.example.", "Shop.Example.:80"}) {
    Peer& client = connect();
    const std::size_t peer = backend_.peers.empty() ? 0 : backend_.peers.size() - 1;
    client.send(std::string("GET / HTTP/1.1\r\nHost: ") + host + "\r\n\r\n");
    ASSERT_TRUE(backend_gets("\r\n\r\n", peer)) << host;
    backend_.last().take();
    backend_.last().send(kOk);
    EXPECT_TRUE(client_gets(client, "ok")) << host;
  }
}

TEST_F(ExchangeTest, ANameWithAnEmptyPortGoesOnAsTheName) {
  serve_two();
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: shop.example:\r\n\r\n");
  ASSERT_TRUE(backend_gets());

  const std::string& sent = backend_.last().received;
  EXPECT_NE(sent.find("Host: shop.example\r\n"), std::string::npos) << sent;
  EXPECT_NE(sent.find("X-Forwarded-Host: shop.example\r\n"), std::string::npos) << sent;
}

TEST_F(ExchangeTest, TraceIsAnswered405WhateverTheRoute) {
  serve_two();
  EXPECT_EQ(answer_to("TRACE / HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\n\r\n"), "405");
  EXPECT_EQ(seen_.back().detail, "TRACE");
  EXPECT_EQ(answer_to("TRACE / HTTP/1.1\r\nHost: other.example\r\n\r\n"), "405");
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTest, ARefusedRouteAnswers503AndConnectsToNobody) {
  config::Route route = route_to("/", "shop/orders:80");
  route.refused = config::Refusal{Reason::SecretMissing, "Secret shop/tls is missing"};
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));

  EXPECT_EQ(answer_to(kGet), "503");
  EXPECT_EQ(seen_.back().reason, Reason::SecretMissing);
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTest, AServiceThatIsMissingOrEmptyAnswers503) {
  publish(SnapshotMaker().host(host_with("shop.example", {route_to("/", "shop/orders:80")})));
  EXPECT_EQ(answer_to(kGet), "503");
  EXPECT_EQ(seen_.back().reason, Reason::ServiceMissing);

  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
              .service("shop/orders:80", {}));
  EXPECT_EQ(answer_to(kGet), "503");
  EXPECT_EQ(seen_.back().reason, Reason::NoEndpoints);
}

TEST_F(ExchangeTest, AnHttpsRouteWithoutItsPolicyAnswers503AndIsNeverPlain) {
  config::Route route = route_to("/", "shop/orders:80");
  route.protocol = config::BackendProtocol::Https;
  route.upstream_tls = "shop/shop/orders:80";
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));

  EXPECT_EQ(answer_to(kGet), "503");
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTest, RedirectsPlainRequestsWhereTheRouteSaysSo) {
  config::Route route = route_to("/", "shop/orders:80");
  route.ssl_redirect = true;
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Peer& client = connect();
  client.send("GET /cart?x=1 HTTP/1.1\r\nHost: Shop.example:8080\r\n\r\n");
  ASSERT_TRUE(client_gets(client, "\r\n\r\n"));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 308 "));
  EXPECT_NE(client.received.find("Location: https://Shop.example/cart?x=1\r\n"), std::string::npos)
      << client.received;

  Peer& star = connect();
  star.send("OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(client_gets(star, "\r\n\r\n"));
  EXPECT_NE(star.received.find("Location: https://shop.example\r\n"), std::string::npos)
      << star.received;
}

// The clients of the fixture come from 192.0.2.9.
TEST_F(ExchangeTest, TellsTheBackendOfTheClientWhatAProxyThatItBelievesSays) {
  context_.limits.trust.forwarded = NetworkSet::parse({"192.0.2.0/24"}).value();
  Peer& client = connect();
  client.send(
      "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.5, 192.0.2.7\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: www.shop.example\r\n"
      "X-Forwarded-Port: 8443\r\nX-Forwarded-Prefix: /forged\r\nX-Real-IP: 1.2.3.4\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  const std::string& got = backend_.last().received;

  EXPECT_NE(got.find("X-Real-IP: 203.0.113.5\r\n"
                     "X-Forwarded-For: 203.0.113.5\r\n"
                     "X-Forwarded-Host: www.shop.example\r\n"
                     "X-Forwarded-Port: 8443\r\n"
                     "X-Forwarded-Proto: https\r\n"
                     "X-Forwarded-Scheme: https\r\n"
                     "X-Scheme: https\r\n"
                     "X-Original-Forwarded-For: 203.0.113.5, 192.0.2.7\r\n"
                     "X-Original-Forwarded-Host: www.shop.example\r\n"),
            std::string::npos)
      << got;
  EXPECT_EQ(got.find("1.2.3.4"), std::string::npos);
  EXPECT_EQ(got.find("forged"), std::string::npos);
}

TEST_F(ExchangeTest, TellsTheBackendNothingThatAClientSaysOfItself) {
  context_.limits.trust.forwarded = NetworkSet::parse({"10.0.0.0/8"}).value();
  Peer& client = connect();
  client.send(
      "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.5\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: forged.example\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  const std::string& got = backend_.last().received;

  EXPECT_NE(got.find("X-Real-IP: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.9\r\n"), std::string::npos);
  EXPECT_NE(got.find("X-Forwarded-Proto: http\r\n"), std::string::npos);
  EXPECT_EQ(got.find("203.0.113.5"), std::string::npos);
  EXPECT_EQ(got.find("forged"), std::string::npos);
  EXPECT_EQ(got.find("X-Original-"), std::string::npos);
}

TEST_F(ExchangeTest, RedirectsByWhatAProxyThatItBelievesSays) {
  context_.limits.trust.forwarded = NetworkSet::parse({"192.0.2.0/24"}).value();
  config::Route route = route_to("/", "shop/orders:80");
  route.ssl_redirect = true;
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Peer& plain = connect();
  plain.send(
      "GET /a HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Host: www.example:80\r\n"
      "X-Forwarded-Proto: http\r\n\r\n");
  ASSERT_TRUE(client_gets(plain, "\r\n\r\n"));
  EXPECT_NE(plain.received.find("Location: https://www.example/a\r\n"), std::string::npos)
      << plain.received;

  Peer& secure = connect();
  secure.send("GET /a HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: https\r\n\r\n");
  EXPECT_TRUE(backend_gets("X-Forwarded-Proto: https\r\n"));
}

TEST_F(ExchangeTest, ServesAcmeChallengesPlainAndNothingThatOnlyLooksLikeOne) {
  config::Route route = route_to("/", "shop/orders:80");
  route.ssl_redirect = true;
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));

  EXPECT_EQ(answer_to("GET /.well-known/acme-challenge/../../admin HTTP/1.1\r\n"
                      "Host: shop.example\r\n\r\n"),
            "308");
  Peer& client = connect();
  client.send("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  EXPECT_TRUE(backend_gets("acme-challenge/token"));
}

TEST_F(ExchangeTest, TriesTheNextEndpointWhenOneRefuses) {
  serve_two();
  backend_.refuse();
  for (int i = 0; i < 2; ++i) {
    Peer& client = connect();
    client.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi");
    ASSERT_TRUE(driver_.until(
        [&] { return !second_.peers.empty() && second_.last().received.ends_with("hi"); }));
    second_.last().take();
    second_.last().send(kOk);
    ASSERT_TRUE(client_gets(client, "ok"));
  }
  EXPECT_EQ(seen_[0].tries, 2);
  EXPECT_EQ(seen_[0].reason, Reason::Ok);
}

TEST_F(ExchangeTest, SaysTheLastFailureWhenEveryEndpointRefuses) {
  serve_two();
  backend_.refuse();
  second_.refuse();

  EXPECT_EQ(answer_to(kGet), "502");
  EXPECT_EQ(seen_.back().reason, Reason::ConnectRefused);
  EXPECT_EQ(seen_.back().tries, 2);
}

TEST_F(ExchangeTest, AConnectionThatIsNeverEstablishedAnswers504) {
  // A listener whose queue is full drops the SYN; TEST-NET would do, but isn't hermetic.
  const UniqueFd full(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const net::Address any = net::Address::from_ip("127.0.0.1", 0).value();
  ASSERT_EQ(::bind(full.get(), any.data(), any.length()), 0);
  ASSERT_EQ(::listen(full.get(), 0), 0);
  const net::Address address = net::local_address(full.get());
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)::connect(fillers.back().get(), address.data(), address.length());
  }
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
              .service("shop/orders:80", {address}));
  Peer& client = connect();
  client.send(kGet);
  driver_.settle();
  clock_.advance(std::chrono::seconds(6));

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 504 "));
  EXPECT_EQ(seen_.back().reason, Reason::ConnectTimeout);
}

TEST_F(ExchangeTest, RepeatsAGetWhoseKeptAliveConnectionWasClosed) {
  Peer& client = connect();
  warm_up(client);
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().close();
  ASSERT_TRUE(backend_gets("\r\n\r\n", 1));
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(seen_.back().tries, 2);
  EXPECT_EQ(seen_.back().status, 200);
}

TEST_F(ExchangeTest, DoesNotRepeatAPostNorAnythingWithABody) {
  for (const char* request :
       {"POST /a HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "PUT /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\n\r\nx"}) {
    Peer& client = connect();
    const std::size_t before = backend_.peers.size();
    client.send(kGet);
    ASSERT_TRUE(backend_gets("\r\n\r\n", before));
    backend_.last().take();
    backend_.last().send(kOk);
    ASSERT_TRUE(client_gets(client, "ok"));
    client.take();
    client.send(request);
    ASSERT_TRUE(backend_gets("\r\n\r\n", before));
    backend_.last().close();

    EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
    EXPECT_EQ(backend_.peers.size(), before + 1);
  }
}

TEST_F(ExchangeTest, DoesNotRepeatAGetOnANewConnection) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().close();

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(backend_.peers.size(), 1u);
}

// All kept-alive connections of a backend that was restarted are as dead as the first.
TEST_F(ExchangeTest, RepeatsOnANewConnectionRatherThanOnAnotherOldOne) {
  std::vector<Peer*> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(&connect());
    clients.back()->send(kGet);
  }
  ASSERT_TRUE(driver_.until([&] {
    if (backend_.peers.size() < 5) return false;
    return std::ranges::all_of(backend_.peers, [](auto& peer) { return !peer->received.empty(); });
  }));
  for (auto& peer : backend_.peers) peer->send(kOk);
  ASSERT_TRUE(driver_.until([&] { return pool_.idle() == 5; }));
  for (auto* client : clients) {
    driver_.settle(2);
    client->take();
  }
  clients[0]->send(kGet);
  // Whichever connection the request comes on, it is closed, and so is the next old one.
  std::size_t closed = 0;
  each_round_ = [&] {
    for (std::size_t i = 0; i < 5; ++i) {
      Peer& peer = *backend_.peers[i];
      if (peer.open() && peer.received.size() > 150) {
        peer.close();
        ++closed;
      }
    }
  };
  for (std::size_t i = 0; i < 5; ++i) backend_.peers[i]->take();
  for (std::size_t i = 0; i < 5; ++i) backend_.peers[i]->received.assign(100, ' ');
  ASSERT_TRUE(driver_.until([&] {
    return backend_.peers.size() > 5 && !backend_.last().received.empty();
  })) << closed;
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(*clients[0], "ok"));
  EXPECT_EQ(closed, 1u);
}

TEST_F(ExchangeTest, NeverRepeatsAfterATimeout) {
  Peer& client = connect();
  warm_up(client);
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  clock_.advance(std::chrono::seconds(61));

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 504 "));
  EXPECT_EQ(backend_.peers.size(), 1u);
  EXPECT_EQ(seen_.back().reason, Reason::ResponseTimeout);
}

TEST_F(ExchangeTest, ABrokenResponseAnswers502) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("nonsense\r\n\r\n");

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().reason, Reason::BadResponse);
  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(ExchangeTest, PassesInformationalAnswersOnButNotToHttp10) {
  Peer& client = connect();
  client.send(
      "POST /a HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\n"
      "Content-Length: 2\r\n\r\n");
  ASSERT_TRUE(backend_gets("Expect: 100-continue"));
  backend_.last().send("HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client_gets(client, "HTTP/1.1 100 Continue\r\n\r\n"));
  client.send("hi");
  ASSERT_TRUE(backend_gets("\r\n\r\nhi"));
  backend_.last().take();
  backend_.last().send(kOk);
  ASSERT_TRUE(client_gets(client, "ok"));

  Peer& old = connect();
  old.send("GET /a HTTP/1.0\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 103 Early Hints\r\n\r\n");
  backend_.last().send(kOk);
  ASSERT_TRUE(client_gets(old, "ok"));
  EXPECT_EQ(old.received.find(" 103 "), std::string::npos);
}

TEST_F(ExchangeTest, AnEarlyAnswerReachesTheClientAndEndsBothConnections) {
  Peer& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9000\r\n\r\nabc");
  ASSERT_TRUE(backend_gets("abc"));
  backend_.last().send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 413 "));
  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(ExchangeTest, BytesBehindAnAnswerNeverReachTheNextRequest) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send(std::string(kOk) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  ASSERT_TRUE(client_gets(client, "ok"));
  client.take();
  client.send(kGet);
  ASSERT_TRUE(backend_gets("\r\n\r\n", 1));
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(client.received.find("evil"), std::string::npos);
}

TEST_F(ExchangeTest, KeepsItsRouteThoughANewSnapshotComesAndThenLetsTheOldOneGo) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  publish(SnapshotMaker());
  EXPECT_TRUE(retired_.empty());
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(retired_.size(), 1u);
  EXPECT_EQ(answer_to(kGet), "404");
}

TEST_F(ExchangeTest, AnExternalNameIsResolvedOffTheLoop) {
  resolve_ = [](const std::string& name, const Answered& answered) {
    if (name != "db.example") return answered({});
    answered({.kind = upstream::NameAnswer::Kind::Found,
              .addresses = {net::Address::from_ip("127.0.0.1", 0).value()}});
  };
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_to("/", "shop/db:80")}))
              .external("shop/db:80", "db.example"));

  // Loopback is what an ExternalName must not lead to (CVE-2021-32783).
  EXPECT_EQ(answer_to(kGet), "503");
  EXPECT_EQ(seen_.back().reason, Reason::NoEndpoints);
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTest, AnExternalNameThatIsAnAddressFollowsTheSameRule) {
  for (const char* target : {"127.0.0.1", "169.254.169.254", "::1"}) {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route_to("/", "shop/db:80")}))
                .external("shop/db:80", target));
    EXPECT_EQ(answer_to(kGet), "503") << target;
  }
}

TEST_F(ExchangeTest, AClientThatLeavesWhileANameIsResolvedIsNoTrouble) {
  Answered answer;
  resolve_ = [&](const std::string&, Answered answered) { answer = std::move(answered); };
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_to("/", "shop/db:80")}))
              .external("shop/db:80", "db.example"));
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return answer != nullptr; }));
  client.abort();
  ASSERT_TRUE(driver_.until([&] { return sessions_.empty(); }));
  answer({.kind = upstream::NameAnswer::Kind::Found, .addresses = {backend_.address()}});
  driver_.settle();

  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 499);
}

TEST(RequestIds, AreThirtyTwoHexDigitsAndDiffer) {
  RequestIds ids(1, 2);
  char one[32];
  char two[32];
  ids.next(one);
  ids.next(two);

  const std::string_view first(one, 32);
  EXPECT_EQ(first.find_first_not_of("0123456789abcdef"), std::string_view::npos);
  EXPECT_NE(first, std::string_view(two, 32));
}

}  // namespace
}  // namespace handfast::session
