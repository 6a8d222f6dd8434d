// Requests that a backend of HTTP/2 turns away without having looked at them.

#include <array>
#include <string>

#include "tests/unit/proxy/session/h2_fixture.h"

namespace handfast::session {
namespace {

using http::H2StreamId;
using http::Header;

class H2RetryTest : public handfast::testing::H2Fixture {
 protected:
  // Each connection of the backend, once it is there.
  Client& far(std::size_t number) {
    check(driver_.until([this, number] { return backend_.peers.size() > number; }), "a connection");
    take_all({});
    return *backends[number];
  }
  void take_all(const http::H2Limits& limits) {
    while (backends.size() < backend_.peers.size()) {
      backends.push_back(std::make_unique<Client>(*backend_.peers[backends.size()],
                                                  http::H2Codec::Role::Server, limits));
    }
  }
};

TEST_F(H2RetryTest, ARefusedStreamIsAskedAgainThoughTheConnectionIsNew) {
  serve_h2();
  Client& client = dial();
  client.ask("POST", "/pay", {}, true);
  ASSERT_TRUE(hears(far(0), "1 end"));

  far(0).codec.reset(1, http::H2Error::RefusedStream);
  ASSERT_TRUE(hears(far(0), "3 end"));  // it may have room again
  far(0).codec.reset(3, http::H2Error::RefusedStream);
  ASSERT_TRUE(hears(far(1), "1 end"));  // it has none
  far(1).codec.send_head(1, 200, {}, true);

  EXPECT_TRUE(hears(client, "1 response 200"));
  EXPECT_EQ(seen_.back().tries, 3);
}

TEST_F(H2RetryTest, AStreamBeyondAGoawayIsAskedAgainThoughTheConnectionIsNew) {
  serve_h2();
  Client& client = dial();
  client.ask("POST", "/pay", {}, true);
  ASSERT_TRUE(backend_gets("PRI * HTTP/2.0"));
  backend_.last().take();
  backend_.last().send(http::h2::frame(4, 0, 0, "") +
                       http::h2::frame(7, 0, 0, std::string(8, '\0')));  // GOAWAY: 0, no error

  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() > 1; }));
  backends.push_back(std::make_unique<Client>(backend_.last(), http::H2Codec::Role::Server));
  ASSERT_TRUE(hears(*backends[0], "1 end"));
  backends[0]->codec.send_head(1, 200, {}, true);

  EXPECT_TRUE(hears(client, "1 response 200"));
}

TEST_F(H2RetryTest, ABackendThatRefusesForeverIsGivenUp) {
  serve_h2();
  Client& client = dial();
  client.get();
  each_round_ = [this, before = each_round_] {
    take_all({});
    before();
    for (auto& backend : backends) {
      for (H2StreamId stream = 1; stream < 20; stream += 2) {
        const std::string asked = std::to_string(stream) + " end";
        if (!backend->heard(asked) || backend->heard(std::to_string(stream) + " closed")) continue;
        backend->codec.reset(stream, http::H2Error::RefusedStream);
      }
    }
  };

  EXPECT_TRUE(hears(client, "1 response 502"));
  EXPECT_EQ(seen_.back().tries, 4);
}

TEST_F(H2RetryTest, WhatWasRefusedUnlookedAtUsesUpNoTries) {
  config::Route route = handfast::testing::route_to("/", "shop/orders:80");
  route.http2 = config::Http2::Require;
  route.retry.error = false;
  route.retry.tries = 1;
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Client& client = dial();
  client.get();
  ASSERT_TRUE(hears(far(0), "1 end"));
  far(0).codec.reset(1, http::H2Error::RefusedStream);
  ASSERT_TRUE(hears(far(0), "3 end"));
  far(0).codec.send_head(3, 200, {}, true);

  EXPECT_TRUE(hears(client, "1 response 200"));
}

TEST_F(H2RetryTest, ABodyThatIsOnItsWayIsNotAskedAgain) {
  serve_h2();
  Client& client = dial();
  const H2StreamId stream = client.ask("POST", "/pay", {}, false);
  client.codec.send_body(stream, "half");
  ASSERT_TRUE(hears(far(0), "1 data half"));
  far(0).codec.reset(1, http::H2Error::RefusedStream);

  EXPECT_TRUE(hears(client, "1 response 502"));
  EXPECT_EQ(seen_.back().tries, 1);
}

// Four at a time and nobody refused, though all come before the first connection stands.
TEST_F(H2RetryTest, ALimitThatIsNotKnownYetIsWaitedFor) {
  serve_h2();
  Client& client = dial();
  for (int i = 0; i < 20; ++i) client.get();
  std::size_t most = 0;
  each_round_ = [this, &most, before = each_round_] {
    take_all({.max_streams = 4});
    before();
    for (auto& backend : backends) most = std::max(most, backend->codec.open_streams());
  };
  const auto all_asked = [this] {
    std::size_t asked = 0;
    for (auto& backend : backends) asked += backend->codec.open_streams();
    return asked == 20;
  };

  ASSERT_TRUE(driver_.until(all_asked));
  EXPECT_EQ(most, 4u);
  EXPECT_EQ(backends.size(), 5u);
  for (auto& backend : backends) {
    for (const H2StreamId stream : {1, 3, 5, 7}) backend->codec.send_head(stream, 200, {}, true);
  }
  EXPECT_TRUE(driver_.until([&] { return seen_.size() == 20; }));
  for (const auto& seen : seen_) EXPECT_EQ(seen.tries, 1);
}

}  // namespace
}  // namespace handfast::session
