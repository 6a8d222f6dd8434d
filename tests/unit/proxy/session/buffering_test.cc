// proxy-request-buffering and proxy-buffering.

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

class BufferingTest : public handfast::testing::SessionFixture {
 protected:
  void serve_with(const config::Route& route) {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route}))
                .service("shop/orders:80", {backend_.address(), second_.address()}));
  }
  static std::string post(const std::string& framing) {
    return "POST / HTTP/1.1\r\nHost: shop.example\r\n" + framing + "\r\n\r\n";
  }
  [[nodiscard]] std::size_t asked() const { return backend_.peers.size() + second_.peers.size(); }
  [[nodiscard]] Peer& asked_peer() {
    return backend_.peers.empty() ? second_.last() : backend_.last();
  }

  config::Route route_ = [] {
    config::Route route = route_to("/", "shop/orders:80");
    route.max_temp_bytes = 64 << 20;
    return route;
  }();
};

TEST_F(BufferingTest, AsksNoBackendBeforeTheRequestIsWhole) {
  route_.request_buffering = true;
  serve_with(route_);
  Peer& client = connect();
  const std::string body(300'000, 'b');  // more than what stays in memory
  client.send(post("Content-Length: 300000") + body.substr(0, 299'999));
  driver_.settle(50);
  EXPECT_EQ(asked(), 0u);

  client.send("b");
  ASSERT_TRUE(driver_.until([&] { return asked() == 1; }));
  ASSERT_TRUE(driver_.until([&] { return asked_peer().received.size() > body.size(); }));

  EXPECT_TRUE(asked_peer().received.ends_with("\r\n\r\n" + body));
}

TEST_F(BufferingTest, AChunkedRequestGoesOutWithItsLength) {
  route_.request_buffering = true;
  serve_with(route_);
  Peer& client = connect();
  client.send(post("Transfer-Encoding: chunked") + "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return asked() == 1 && !asked_peer().received.empty(); }));

  EXPECT_NE(asked_peer().received.find("Content-Length: 3\r\n"), std::string::npos);
  EXPECT_EQ(asked_peer().received.find("chunked"), std::string::npos);
  EXPECT_TRUE(asked_peer().received.ends_with("\r\n\r\nabc"));
}

TEST_F(BufferingTest, TellsTheClientToGoOnAndDoesNotAskTheBackendTo) {
  route_.request_buffering = true;
  serve_with(route_);
  Peer& client = connect();
  client.send(post("Content-Length: 2\r\nExpect: 100-continue"));
  ASSERT_TRUE(client_gets(client, "HTTP/1.1 100 Continue\r\n"));
  EXPECT_EQ(asked(), 0u);
  client.send("ok");
  ASSERT_TRUE(driver_.until([&] { return asked() == 1 && !asked_peer().received.empty(); }));

  EXPECT_EQ(asked_peer().received.find("Expect"), std::string::npos);
}

// It is all here: another endpoint can have it, if the method may be repeated.
TEST_F(BufferingTest, ABufferedRequestCanBeSentAgain) {
  route_.request_buffering = true;
  route_.retry.statuses = {503};
  serve_with(route_);
  Peer& client = connect();
  const std::string body(200'000, 'b');
  client.send("PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 200000\r\n\r\n" + body);
  ASSERT_TRUE(driver_.until([&] { return asked() == 1; }));
  Peer& first = asked_peer();
  ASSERT_TRUE(driver_.until([&] { return first.received.size() > body.size(); }));
  first.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return asked() == 2; }));
  Peer& second = &first == &backend_.last() ? second_.last() : backend_.last();

  EXPECT_TRUE(driver_.until([&] { return second.received.ends_with(body); }));
  second.send(kOk);
  EXPECT_TRUE(client_gets(client, "HTTP/1.1 200 "));
}

TEST_F(BufferingTest, ABodyWithoutALimitOfItsOwnEndsAtTheLimitOfTheDisk) {
  route_.request_buffering = true;
  route_.max_temp_bytes = 1000;
  serve_with(route_);
  Peer& client = connect();
  client.send(post("Transfer-Encoding: chunked") + "3e9\r\n" + std::string(1001, 'x'));

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 413 "));
  EXPECT_EQ(asked(), 0u);
}

TEST_F(BufferingTest, ASlowClientDoesNotHoldTheBackend) {
  route_.response_buffering = true;
  serve_with(route_);
  Peer& client = connect();
  client.reading = false;
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return asked() == 1 && !asked_peer().received.empty(); }));
  const std::size_t total = 24 << 20;
  std::string body(total, 'x');
  for (std::size_t i = 0; i < total; i += 4096) body[i] = static_cast<char>('a' + (i / 4096) % 26);
  asked_peer().send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n" +
                    body);

  ASSERT_TRUE(driver_.until([&] { return asked_peer().unsent() == 0 && pool_.idle() == 1; }))
      << "the backend's connection is free again";
  client.reading = true;
  ASSERT_TRUE(driver_.until([&] { return client.received.size() > total; }));
  EXPECT_TRUE(client.received.ends_with(body));
  client.take();
  client.send(kGet);
  EXPECT_TRUE(driver_.until([&] { return asked_peer().received.find("GET /a", 10) != 0; }));
}

TEST_F(BufferingTest, ABufferedResponseStopsAtTheLimitOfTheDisk) {
  route_.response_buffering = true;
  route_.max_temp_bytes = 1 << 20;
  serve_with(route_);
  Peer& client = connect();
  client.reading = false;
  const int small = 64 * 1024;  // the kernel would hold tens of megabytes for it
  ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return asked() == 1 && !asked_peer().received.empty(); }));
  const std::size_t total = 24 << 20;
  asked_peer().send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n" +
                    std::string(total, 'x'));
  driver_.settle(300);
  EXPECT_EQ(pool_.idle(), 0u) << "the backend's answer isn't taken";

  client.reading = true;

  EXPECT_TRUE(driver_.until([&] { return client.received.size() > total; }));
  EXPECT_EQ(pool_.idle(), 1u);
}

TEST_F(BufferingTest, TrailersOfABufferedResponseArrive) {
  route_.response_buffering = true;
  serve_with(route_);
  Peer& client = connect();
  client.reading = false;
  client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return asked() == 1 && !asked_peer().received.empty(); }));
  asked_peer().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc00000\r\n" +
                    std::string(0xc00000, 'x') + "\r\n0\r\nSum: 1\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return pool_.idle() == 1; }));
  client.reading = true;

  EXPECT_TRUE(driver_.until([&] { return client.received.ends_with("0\r\nSum: 1\r\n\r\n"); }));
}

TEST_F(BufferingTest, WithoutADiskTheRequestIsAnswered500) {
  route_.request_buffering = true;
  serve_with(route_);
  context_.limits.temp_directory = "/nonexistent";
  Peer& client = connect();
  client.send(post("Content-Length: 300000") + std::string(100'000, 'x'));

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 500 "));
}

}  // namespace
}  // namespace handfast::session
