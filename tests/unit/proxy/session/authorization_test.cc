// Requests of a route that asks an auth server first: what it is asked, what its answers do, and
// that the Service gets nothing before them. The server is `second_`, the Service `backend_`.

#include "proxy/session/authorization.h"

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

class AuthorizationTest : public handfast::testing::SessionFixture {
 protected:
  AuthorizationTest() {
    config::ExternalAuth& asked = route_.auth.emplace();
    asked.service = "auth/proxy:80";
    asked.authority = "proxy.auth.svc";
    asked.target = "/check?a=$arg_a&u=$uri";
    asked.response_headers = {"X-Auth-User"};
  }
  void serve_auth() {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route_}))
                .service("shop/orders:80", {backend_.address()})
                .service("auth/proxy:80", {second_.address()}));
  }
  [[nodiscard]] config::ExternalAuth& auth() { return *route_.auth; }

  Peer& ask(const std::string& head = kGet) {
    Peer& client = connect();
    client.send(head);
    return client;
  }
  // What the auth server is asked.
  std::string question(std::size_t peer = 0) {
    EXPECT_TRUE(driver_.until([this, peer] {
      return second_.peers.size() > peer &&
             second_.peers[peer]->received.find("\r\n\r\n") != std::string::npos;
    }));
    return second_.peers.size() > peer ? second_.peers[peer]->take() : "";
  }
  void say(const std::string& bytes, std::size_t peer = 0) { second_.peers[peer]->send(bytes); }
  static std::string reply(const std::string& status, const std::string& fields = "") {
    return "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: 0\r\n\r\n";
  }
  [[nodiscard]] bool is_answered(Peer& client, std::string_view status) {
    return client_gets(client, "HTTP/1.1 " + std::string(status) + " ");
  }
  void expect_untouched() {
    driver_.settle(3);
    EXPECT_EQ(backend_.peers.size(), 0u);
  }

  config::Route route_ = route_to("/", "shop/orders:80");
};

TEST_F(AuthorizationTest, AsksWithTheClientsFieldsAndTheFieldsOfNginx) {
  serve_auth();
  ask("POST /a%20b?a=x%26y&b=1 HTTP/1.1\r\nHost: shop.example:8443\r\nCookie: sid=1\r\n"
      "X-Original-URL: http://forged/\r\nx_sent_from: me\r\nRange: bytes=0-1\r\n"
      "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  const std::string asked = question();

  EXPECT_TRUE(asked.starts_with("GET /check?a=x%26y&u=/a%20b HTTP/1.1\r\nHost: proxy.auth.svc\r\n"))
      << asked;
  for (const std::string_view line :
       {"Cookie: sid=1", "X-Original-URL: http://shop.example:8443/a%20b?a=x%26y&b=1",
        "X-Original-Method: POST", "X-Sent-From: nginx-ingress-controller",
        "X-Auth-Request-Redirect: /a%20b?a=x%26y&b=1", "X-Real-IP: 192.0.2.9",
        "X-Forwarded-Host: shop.example:8443"}) {
    EXPECT_NE(asked.find("\r\n" + std::string(line) + "\r\n"), std::string::npos) << line << asked;
  }
  for (const std::string_view none : {"forged", "sent_from", "Range", "Content-Length", "Expect"}) {
    EXPECT_EQ(asked.find(none), std::string::npos) << none << asked;
  }
  expect_untouched();
}

TEST_F(AuthorizationTest, SendsOnlyThenAndOnlyWhatTheAuthServerSaid) {
  serve_auth();
  Peer& client =
      ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Auth-User: root\r\n"
          "x_auth_user: root\r\n\r\n");
  EXPECT_NE(question().find("X-Auth-User: root"), std::string::npos);
  expect_untouched();
  say(reply("204 No Content", "X-Auth-User: alice\r\nX-Other: no\r\n"));

  ASSERT_TRUE(backend_gets());
  const std::string& got = backend_.peers[0]->received;
  EXPECT_NE(got.find("\r\nX-Auth-User: alice\r\n"), std::string::npos) << got;
  EXPECT_EQ(got.find("root"), std::string::npos) << got;
  EXPECT_EQ(got.find("X-Other"), std::string::npos) << got;
  backend_.peers[0]->send(kOk);
  EXPECT_TRUE(client_gets(client, "ok"));
}

// By itself, about a client of whose certificate this is said.
class QuestionTest : public AuthorizationTest, private AuthorizationUser {
 protected:
  QuestionTest() {
    head_.method = "GET";
    head_.target = head_.path = "/";
  }
  void begin(std::string_view verify, std::string_view subject = {}) {
    http::ForwardContext forward{
        .client_address = "192.0.2.9", .scheme = "https", .request_id = "1"};
    forward.client_certificate.verify = verify;
    forward.client_certificate.subject = subject;
    rules_ = route::make_auth_rules("shop.example", route_);
    told_ = false;
    authorization_.ask({.route = route_,
                        .rules = *rules_,
                        .pinned = snapshots_.current(),
                        .facts = {.head = head_,
                                  .path = "/",
                                  .server_name = "shop.example",
                                  .client = "192.0.2.9"},
                        .forward = forward});
  }
  [[nodiscard]] bool is_told() {
    return driver_.until([this] { return told_; });
  }

  Authorization authorization_{context_, *this};

 private:
  void on_authorized() override { told_ = true; }

  http::RequestHead head_;
  std::unique_ptr<const route::AuthRules> rules_;
  bool told_ = false;
};

TEST_F(QuestionTest, TellsHowTheClientWasJudgedThoughItIsJudgedAgainMeanwhile) {
  serve_auth();
  std::string verdict = "FAILED:certificate has expired";
  begin(verdict);
  verdict.assign(verdict.size(), '!');

  const std::string asked = question();
  EXPECT_NE(asked.find("ssl-client-verify: FAILED:certificate has expired\r\n"), std::string::npos)
      << asked;
}

TEST_F(QuestionTest, AnAnswerIsKeptForTheClientsCertificateAlone) {
  auth().cache_key = "$uri";
  auth().cache = {{{}, 10}};
  serve_auth();
  begin("SUCCESS", "CN=alice");
  question();
  say(reply("200 OK"));
  ASSERT_TRUE(is_told());
  ASSERT_EQ(authorization_.result(), AuthResult::Allowed);

  begin("SUCCESS", "CN=mallory");
  EXPECT_NE(question().find("ssl-client-subject-dn: CN=mallory"), std::string::npos);
  say(reply("403 No"));
  ASSERT_TRUE(is_told());
  EXPECT_EQ(authorization_.result(), AuthResult::Denied);

  begin("SUCCESS", "CN=alice");
  ASSERT_TRUE(is_told());
  EXPECT_EQ(authorization_.result(), AuthResult::Allowed);
  EXPECT_TRUE(authorization_.cached());
}

TEST_F(AuthorizationTest, StripsWhatTheAuthServerDidNotSay) {
  serve_auth();
  ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Auth-User: root\r\n\r\n");
  question();
  say(reply("200 OK"));

  ASSERT_TRUE(backend_gets());
  EXPECT_EQ(backend_.peers[0]->received.find("root"), std::string::npos);
}

TEST_F(AuthorizationTest, PassesDenialsOnWithTheirChallenge) {
  serve_auth();
  Peer& unknown = ask();
  question();
  say(reply("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\nSet-Cookie: a=1\r\n"));
  EXPECT_TRUE(is_answered(unknown, "401"));
  EXPECT_NE(unknown.received.find("WWW-Authenticate: Basic realm=\"x\"\r\n"), std::string::npos);
  EXPECT_EQ(unknown.received.find("Set-Cookie"), std::string::npos);

  Peer& known = ask();
  question();
  say(reply("403 No"));
  EXPECT_TRUE(is_answered(known, "403"));
  expect_untouched();
}

TEST_F(AuthorizationTest, SendsClientsToSignIn) {
  auth().signin = "https://id.example/start?rd=$scheme://$http_host$escaped_request_uri";
  serve_auth();
  Peer& client = ask("GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  question();
  say(reply("401 No", "Set-Cookie: csrf=1\r\nSet-Cookie: b=2\r\n"));

  EXPECT_TRUE(is_answered(client, "302"));
  EXPECT_NE(client.received.find(
                "Location: https://id.example/start?rd=http://shop.example%2Fa%3Fb%3Dc\r\n"),
            std::string::npos)
      << client.received;
  EXPECT_NE(client.received.find("Set-Cookie: csrf=1\r\n"), std::string::npos);
  EXPECT_NE(client.received.find("Set-Cookie: b=2\r\n"), std::string::npos);
  expect_untouched();
}

TEST_F(AuthorizationTest, DeniesForEveryOtherAnswer) {
  serve_auth();
  for (const char* status : {"500 Oops", "302 Found", "404 Not Found", "407 Proxy", "304 Same"}) {
    Peer& client = ask();
    question(second_.peers.size() == 0 ? 0 : second_.peers.size() - 1);
    say(reply(status, "Location: /\r\n"), second_.peers.size() - 1);
    EXPECT_TRUE(is_answered(client, "500")) << status << client.received;
    EXPECT_EQ(seen_.back().reason, Reason::BadResponse);
  }
  expect_untouched();
}

TEST_F(AuthorizationTest, DeniesForGarbageAndForAnAnswerThatIsCut) {
  serve_auth();
  for (const char* bytes : {"OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
                            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n"}) {
    const std::size_t before = second_.peers.size();
    Peer& client = ask();
    ASSERT_TRUE(driver_.until([&] {
      for (std::size_t i = before; i < second_.peers.size(); ++i) {
        if (second_.peers[i]->take().find("\r\n\r\n") == std::string::npos) continue;
        say(bytes, i);
        second_.peers[i]->close();
      }
      return client.received.find("HTTP/1.1 ") != std::string::npos;
    }));
    EXPECT_TRUE(client.received.starts_with("HTTP/1.1 502 ")) << bytes << client.received;
  }
  expect_untouched();
}

TEST_F(AuthorizationTest, DeniesWhenNobodyAnswersInTime) {
  route_.read_timeout_ms = 2'000;
  serve_auth();
  Peer& client = ask();
  question();
  clock_.advance(std::chrono::milliseconds(2'200));

  EXPECT_TRUE(is_answered(client, "504"));
  EXPECT_EQ(seen_.back().reason, Reason::ResponseTimeout);
  expect_untouched();
}

TEST_F(AuthorizationTest, DeniesWhenThereIsNobodyToAsk) {
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_}))
              .service("shop/orders:80", {backend_.address()})
              .service("auth/proxy:80", {}));
  EXPECT_TRUE(is_answered(ask(), "503"));
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_}))
              .service("shop/orders:80", {backend_.address()}));
  EXPECT_TRUE(is_answered(ask(), "503"));
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route_}))
              .service("shop/orders:80", {backend_.address()})
              .external("auth/proxy:80", "no.such.name"));
  EXPECT_TRUE(is_answered(ask(), "503"));
  expect_untouched();
}

TEST_F(AuthorizationTest, KeepsTheBodyUntilTheClientMayHaveTheRoute) {
  serve_auth();
  Peer& client = connect();
  client.send(
      "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n"
      "Expect: 100-continue\r\n\r\nhe");
  question();
  driver_.settle(3);
  EXPECT_EQ(client.received, "");
  client.send("llo");
  expect_untouched();
  say(reply("200 OK"));

  ASSERT_TRUE(backend_gets("hello"));
  backend_.peers[0]->send(kOk);
  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(seen_.back().request_bytes, 5u);
}

TEST_F(AuthorizationTest, BuffersABodyOfNoBytesAfterwards) {
  route_.request_buffering = true;
  serve_auth();
  Peer& client = ask("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n");
  question();
  say(reply("200 OK"));
  ASSERT_TRUE(backend_gets());
  backend_.peers[0]->send(kOk);
  EXPECT_TRUE(client_gets(client, "ok"));

  client.send(
      "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nhi\r\n0\r\nX-Auth-User: root\r\n\r\n");
  question();
  say(reply("200 OK"));
  ASSERT_TRUE(backend_gets("hi"));
  driver_.settle(2);
  EXPECT_EQ(backend_.peers[0]->received.find("root"), std::string::npos);
}

TEST_F(AuthorizationTest, StopsAskingWhenTheClientIsGone) {
  serve_auth();
  Peer& client = ask();
  question();
  client.abort();

  ASSERT_TRUE(driver_.until([this] { return second_.peers[0]->ended; }));
  EXPECT_EQ(seen_.back().status, 499);
  expect_untouched();
}

TEST_F(AuthorizationTest, GivesCookiesWithSuccessOrAlways) {
  serve_auth();
  Peer& client = ask();
  question();
  say(reply("200 OK", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
  ASSERT_TRUE(backend_gets());
  backend_.peers[0]->send(kOk);
  ASSERT_TRUE(client_gets(client, "ok"));
  EXPECT_NE(client.received.find("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), std::string::npos);

  for (const bool always : {false, true}) {
    auth().always_set_cookie = always;
    serve_auth();
    Peer& other = ask();
    question();
    say(reply("200 OK", "Set-Cookie: a=1\r\n"));
    backend_.peers[0]->received.clear();
    ASSERT_TRUE(backend_gets());
    backend_.peers[0]->send("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
    ASSERT_TRUE(client_gets(other, "no"));
    EXPECT_EQ(other.received.find("Set-Cookie: a=1\r\n") != std::string::npos, always);
  }
}

TEST_F(AuthorizationTest, KeepsAnAnswerByItsKeyAndAsksAgainUnderOtherRules) {
  auth().cache_key = "$cookie_sid";
  auth().cache = {{{200, 401}, 10}};
  serve_auth();
  const auto request = [](const std::string& sid) {
    return "GET / HTTP/1.1\r\nHost: shop.example\r\nCookie: sid=" + sid + "\r\n\r\n";
  };
  const auto served = [&](const std::string& sid) {
    Peer& client = ask(request(sid));
    EXPECT_TRUE(driver_.until([&] {
      return !backend_.peers.empty() &&
             backend_.peers[0]->received.find("\r\n\r\n") != std::string::npos;
    }));
    const std::string got = backend_.peers[0]->take();
    backend_.peers[0]->send(kOk);
    EXPECT_TRUE(client_gets(client, "ok"));
    return got;
  };
  ask(request("1"));
  question();
  say(reply("200 OK", "X-Auth-User: alice\r\n"));
  ASSERT_TRUE(backend_gets());
  backend_.peers[0]->take();
  backend_.peers[0]->send(kOk);
  driver_.settle(3);

  EXPECT_NE(served("1").find("X-Auth-User: alice"), std::string::npos);
  EXPECT_EQ(second_.peers[0]->received, "");
  Peer& other = ask(request("2"));
  question();
  say(reply("401 No"));
  EXPECT_TRUE(is_answered(other, "401"));
  EXPECT_TRUE(is_answered(ask(request("2")), "401"));
  EXPECT_EQ(second_.peers[0]->received, "");

  auth().response_headers.clear();  // other rules
  serve_auth();
  Peer& again = ask(request("1"));
  question();
  say(reply("403 No"));
  EXPECT_TRUE(is_answered(again, "403"));

  auth().response_headers = {"X-Auth-User"};  // the same rules, but later
  serve_auth();
  clock_.advance(std::chrono::seconds(11));
  Peer& late = ask(request("1"));
  question();
  say(reply("403 No"));
  EXPECT_TRUE(is_answered(late, "403"));
}

TEST_F(AuthorizationTest, KeepsNothingUnderFieldsThatTheServerDidNotSee) {
  auth().cache_key = "$http_x_scope";
  auth().cache = {{{}, 10}};
  serve_auth();
  Peer& first =
      ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Scope: all\r\nConnection: x-scope\r\n\r\n");
  EXPECT_EQ(question().find("X-Scope"), std::string::npos);
  say(reply("200 OK"));
  ASSERT_TRUE(backend_gets());
  backend_.peers[0]->take();
  backend_.peers[0]->send(kOk);
  ASSERT_TRUE(client_gets(first, "ok"));

  Peer& second = ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Scope: all\r\n\r\n");
  EXPECT_NE(question().find("X-Scope: all"), std::string::npos);
  say(reply("403 No"));
  EXPECT_TRUE(is_answered(second, "403"));
}

TEST_F(AuthorizationTest, KeepsATabApartFromItsPercentCode) {
  auth().cache_key = "$http_x_scope";
  auth().cache = {{{}, 10}};
  serve_auth();
  for (const char* scope : {"a\tb", "a%09b"}) {
    Peer& client =
        ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Scope: " + std::string(scope) + "\r\n\r\n");
    EXPECT_NE(question().find(scope), std::string::npos);
    say(reply("403 No"));
    EXPECT_TRUE(is_answered(client, "403"));
  }
}

TEST_F(AuthorizationTest, KeepsNothingThatAsksNotToBeKept) {
  auth().cache_key = "$cookie_sid";
  auth().cache = {{{}, 10}};
  serve_auth();
  for (const char* field :
       {"Set-Cookie: a=1\r\n", "Cache-Control: no-store\r\n", "Cache-Control: a, max-age=0\r\n",
        "Vary: Cookie\r\n", "Expires: 0\r\n"}) {
    Peer& client = ask();
    question();
    say(reply("403 No", field));
    EXPECT_TRUE(is_answered(client, "403")) << field;
  }
  EXPECT_EQ(context_.auth_cache.size(), 0u);
}

TEST_F(AuthorizationTest, AsksBeforeAnUpgradeToo) {
  serve_auth();
  Peer& client = ask(
      "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(question().find("pgrade"), std::string::npos);
  expect_untouched();
  say(reply("200 OK"));

  ASSERT_TRUE(backend_gets("Upgrade: websocket"));
  backend_.peers[0]->send(
      "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
  EXPECT_TRUE(client_gets(client, "hello"));
}

TEST_F(AuthorizationTest, AsksOnceMoreWhenAKeptConnectionIsStale) {
  serve_auth();
  Peer& client = ask();
  question();
  say(reply("403 No"));
  ASSERT_TRUE(is_answered(client, "403"));
  second_.peers[0]->close();
  Peer& other = ask();
  question(1);
  say(reply("403 No"), 1);
  EXPECT_TRUE(is_answered(other, "403"));
}

}  // namespace
}  // namespace handfast::session
