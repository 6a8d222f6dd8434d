#include "proxy/server/status_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/document.h"
#include "proxy/server/snapshot_builder.h"
#include "tests/support/times.h"
#include "tests/unit/proxy/server/state_directory.h"

namespace handfast::server {
namespace {

using config::Node;
using handfast::testing::App;
using handfast::testing::kDay;

class StatusJsonTest : public ::testing::Test {
 protected:
  void put(const App& app) {
    for (const config::Shard& shard : app.shards()) put(shard);
  }
  void put(const config::Shard& shard) {
    config::Rejection rejection;
    const Status done = builder_.put(shard, rejection);
    EXPECT_TRUE(done) << rejection.field;
  }
  // A handshake of the app's policy with its endpoint.
  void shake(const App& app, Reason reason, std::string_view detail = {},
             std::string_view key = {}) {
    if (served_ == nullptr) served_ = builder_.finish(7).snapshot;
    const net::Address address = net::Address::parse("127.0.0.1:8443").value();
    const auto policy = served_->find_policy(app.tls.name);
    handshakes_.on_handshake({.service = &app.service.name,
                              .address = &address,
                              .tls = true,
                              .reason = reason,
                              .policy_key = key.empty() ? policy->key : key,
                              .detail = detail});
  }
  std::string text(const StatusQuery& query = {}) {
    if (served_ == nullptr) served_ = builder_.finish(7).snapshot;
    return status_json(facts_, served_.get(), handshakes_.all(), query);
  }
  Node status(const StatusQuery& query = {}) {
    auto document = config::parse_yaml(text(query));
    EXPECT_TRUE(document) << document.error();
    return document ? *document : Node{};
  }

  static const Node& member(const Node& node, std::string_view name) {
    static const Node none;
    const auto found =
        std::ranges::find_if(node.map, [&](const auto& pair) { return pair.first == name; });
    EXPECT_NE(found, node.map.end()) << name;
    return found == node.map.end() ? none : found->second;
  }
  // "hosts.0.routes.0.path"
  static std::string at(const Node& node, std::string_view path) {
    const Node* here = &node;
    while (!path.empty()) {
      const std::string_view step = path.substr(0, path.find('.'));
      path.remove_prefix(std::min(step.size() + 1, path.size()));
      if (here->kind == Node::Kind::List) {
        const std::size_t index = std::stoul(std::string(step));
        if (index >= here->list.size()) return "(none)";
        here = &here->list[index];
      } else {
        here = &member(*here, step);
      }
    }
    return here->kind == Node::Kind::List ? "(" + std::to_string(here->list.size()) + ")"
                                          : here->scalar;
  }

  handfast::testing::FakeClock clock_;
  handfast::testing::StateDirectory state_;
  handfast::testing::TestAuthority root_{"root"};
  Materials materials_{state_.path(), clock_};
  RouteMetrics metrics_{1};
  SnapshotBuilder builder_{nullptr, materials_, metrics_};
  std::shared_ptr<const route::Snapshot> served_;
  LastHandshakes handshakes_{clock_};
  StatusFacts facts_{.name = "pod-1", .now = clock_.unix_now(), .ready = true};
};

TEST_F(StatusJsonTest, BeforeTheFirstGenerationThereIsNothing) {
  const auto document = config::parse_yaml(status_json(facts_, nullptr, {}, {}));

  ASSERT_TRUE(document);
  EXPECT_EQ(at(*document, "generation.number"), "0");
  EXPECT_EQ(at(*document, "hosts"), "(0)");
  EXPECT_EQ(at(*document, "problems"), "(0)");
}

TEST_F(StatusJsonTest, LeadsFromTheHostToTheIdentity) {
  const App app = handfast::testing::make_app(state_, "orders", root_);
  put(app);

  const Node found = status();

  EXPECT_EQ(at(found, "generation.number"), "7");
  EXPECT_EQ(at(found, "hosts.0.host"), "orders.example");
  EXPECT_EQ(at(found, "hosts.0.health"), "ok");
  EXPECT_EQ(at(found, "hosts.0.routes.0.ingress"), "orders");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.name"), "shop/orders:443");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.address"), "127.0.0.1:8443");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.handshake"), "");
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.mode"), "verified");
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.identity.source"), "Secret/shop/orders");
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.identity.subject"), "CN=client-orders");
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.identity.names.0"), "DNS:client-orders");
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.identity.not_after"),
            std::to_string(handfast::testing::kYear2120));
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.identity.sha256").size(), 64u);
  EXPECT_EQ(at(found, "hosts.0.routes.0.tls.ca.0.count"), "1");
  EXPECT_EQ(at(found, "problems"), "(0)");
}

TEST_F(StatusJsonTest, NoKeyIsEverInIt) {
  const App app = handfast::testing::make_app(state_, "orders", root_);
  put(app);
  const std::string pem = state_.get(app.tls.identity->key);
  const std::string json = text();

  ASSERT_GT(pem.size(), 100u);
  for (std::size_t i = 40; i + 16 < pem.size(); i += 16) {
    EXPECT_EQ(json.find(pem.substr(i, 16)), std::string::npos);
  }
  EXPECT_EQ(json.find("BEGIN"), std::string::npos);
}

TEST_F(StatusJsonTest, AFailedHandshakeIsAProblemWithItsWordAndItsSentence) {
  const App app = handfast::testing::make_app(state_, "orders", root_);
  put(app);
  shake(app, Reason::Revoked, "serial 0A is revoked");

  const Node found = status();

  EXPECT_EQ(at(found, "hosts.0.health"), "bad");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.handshake.result"), "revoked");
  EXPECT_EQ(at(found, "problems.0.kind"), "backend");
  EXPECT_EQ(at(found, "problems.0.reason"), "revoked");
  EXPECT_EQ(at(found, "problems.0.status"), "502");
  EXPECT_EQ(at(found, "problems.0.hosts.0"), "orders.example");
  EXPECT_NE(at(found, "problems.0.detail").find("serial 0A is revoked"), std::string::npos);
}

TEST_F(StatusJsonTest, AHandshakeUnderAnotherIdentitySaysNothingOfThisOne) {
  const App app = handfast::testing::make_app(state_, "orders", root_);
  put(app);
  shake(app, Reason::Revoked, "", "another key");

  const Node found = status();

  EXPECT_EQ(at(found, "hosts.0.health"), "ok");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.handshake"), "");
}

TEST_F(StatusJsonTest, ARouteThatIsRefusedSaysWhy) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  app.host.routes[0].refused =
      config::Refusal{Reason::SecretMissing, "There is no Secret shop/none."};
  put(app);

  const Node found = status();

  EXPECT_EQ(at(found, "problems.0.kind"), "closed");
  EXPECT_EQ(at(found, "problems.0.reason"), "secret_missing");
  EXPECT_EQ(at(found, "problems.0.object"), "Ingress shop/orders");
  EXPECT_EQ(at(found, "problems.0.detail"), "There is no Secret shop/none.");
  EXPECT_EQ(at(found, "problems.0.status"), "503");
  EXPECT_EQ(at(found, "hosts.0.routes_bad"), "1");
}

TEST_F(StatusJsonTest, OneCauseOfManyHostsIsOneProblem) {
  for (int i = 0; i < 20; ++i) {
    App app = handfast::testing::make_app(state_, "app" + std::to_string(i), root_);
    app.tls.refused = config::Refusal{Reason::CaMissing, "no CA"};
    app.tls.name = "shop/all/all:443";
    app.host.routes[0].upstream_tls = app.tls.name;
    put(app);
  }

  const Node found = status();

  EXPECT_EQ(at(found, "problems"), "(1)");
  EXPECT_EQ(at(found, "problems.0.routes"), "20");
  EXPECT_EQ(at(found, "problems.0.hosts_total"), "20");
  EXPECT_EQ(at(found, "problems.0.hosts"), "(5)");
}

TEST_F(StatusJsonTest, WhatEndsSoonWarnsAndWhatIsOverFails) {
  App soon = handfast::testing::make_app(state_, "soon", root_);
  soon.tls.identity =
      state_.put_pair("soon", root_.issue("soon", {.not_after = clock_.unix_now() + kDay}));
  App over = handfast::testing::make_app(state_, "over", root_);
  over.tls.identity =
      state_.put_pair("over", root_.issue("over", {.not_after = clock_.unix_now() - kDay}));
  put(soon);
  put(over);

  const Node found = status();

  EXPECT_EQ(at(found, "problems.0.kind"), "expired");
  EXPECT_EQ(at(found, "problems.0.reason"), "client_certificate_expired");
  EXPECT_EQ(at(found, "problems.0.object"), "Secret/shop/over");
  EXPECT_EQ(at(found, "problems.1.kind"), "ends_soon");
  EXPECT_EQ(at(found, "problems.1.health"), "warning");
  EXPECT_EQ(at(found, "hosts.0.host"), "over.example") << "the worst comes first";
  EXPECT_EQ(at(found, "totals.bad"), "1");
  EXPECT_EQ(at(found, "totals.warning"), "1");
}

TEST_F(StatusJsonTest, AServiceWithoutAnEndpointIsAProblem) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  app.service.endpoints[0].ready = false;
  put(app);

  const Node found = status();

  EXPECT_EQ(at(found, "problems.0.kind"), "no_endpoints");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.state"), "not_ready");
}

TEST_F(StatusJsonTest, WhatWasRefusedOfALoadIsTold) {
  facts_.refused = RefusedLoad{
      8, 99, {{"tls/shop/orders/orders:443", "identity.key", "f", Reason::BadKey, "torn"}}, 3};

  const Node found = status();

  EXPECT_EQ(at(found, "generation.last_refused.number"), "8");
  EXPECT_EQ(at(found, "generation.last_refused.rejected_total"), "3");
  EXPECT_EQ(at(found, "generation.last_refused.rejected.0.reason"), "bad_key");
  EXPECT_EQ(at(found, "generation.last_refused.rejected.0.shard"), "tls/shop/orders/orders:443");
}

TEST_F(StatusJsonTest, WhateverStandsInATextIsEscaped) {
  const std::string hostile = "<script>alert(1)</script>\"'&\\ \x01\x1f\n\xff\xe2\x80\xae";
  App app = handfast::testing::make_app(state_, "orders", root_);
  app.tls.identity =
      state_.put_pair("orders", root_.issue("orders", {.subject = "CN=<script>alert(1)\"'&"}));
  app.tls.identity->source = "Secret/shop/" + hostile;
  app.host.routes[0].path = "/<img src=x onerror=alert(1)>";
  put(app);
  App closed = handfast::testing::make_app(state_, "closed", root_);
  closed.tls.name = "shop/closed/closed:443";
  closed.host.routes[0].refused = config::Refusal{Reason::InvalidValue, hostile};
  closed.host.routes[0].ingress = hostile;
  put(closed);
  shake(app, Reason::Protocol, hostile);

  const std::string json = text();
  const Node found = status();

  for (const char c : json) {
    EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != '\x7f') << "a raw control byte";
  }
  EXPECT_EQ(json.find('\xff'), std::string::npos) << "no UTF-8";
  const std::string replaced = "<script>alert(1)</script>\"'&\\ \x01\x1f\n\xef\xbf\xbd\xe2\x80\xae";
  EXPECT_EQ(at(found, "hosts.0.routes.0.findings.0.detail"), replaced);
  EXPECT_EQ(at(found, "hosts.1.routes.0.path"), "/<img src=x onerror=alert(1)>");
  EXPECT_EQ(at(found, "hosts.1.routes.0.service.endpoints.0.handshake.detail"), replaced);
  EXPECT_EQ(at(found, "hosts.1.routes.0.tls.identity.source"), "Secret/shop/" + replaced);
  EXPECT_NE(at(found, "hosts.1.routes.0.tls.identity.subject").find("\\<script\\>"),
            std::string::npos);
}

TEST_F(StatusJsonTest, APageOfHostsIsWhatWasAskedFor) {
  for (int i = 0; i < 30; ++i) {
    App app = handfast::testing::make_app(state_, "app" + std::to_string(10 + i), root_);
    app.tls.identity.reset();
    if (i == 29) app.service.endpoints.clear();
    put(app);
  }

  const Node first = status({.limit = 10});
  const Node last = status({.offset = 20, .limit = 10});
  const Node one = status({.text = "shop/app17", .limit = 10});
  const Node wrong = status({.problems_only = true});

  EXPECT_EQ(at(first, "hosts"), "(10)");
  EXPECT_EQ(at(first, "matches"), "30");
  EXPECT_EQ(at(first, "next"), "10");
  EXPECT_EQ(at(first, "hosts.0.host"), "app39.example") << "the worst comes first";
  EXPECT_EQ(at(first, "hosts.1.host"), "app10.example");
  EXPECT_EQ(at(last, "next"), "");
  EXPECT_EQ(at(one, "hosts"), "(1)");
  EXPECT_EQ(at(one, "hosts.0.host"), "app17.example");
  EXPECT_EQ(at(wrong, "matches"), "1");
}

TEST_F(StatusJsonTest, AnAnswerEndsWhenItIsLargeEnough) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  put(app);
  for (int i = 0; i < 8; ++i) {
    config::VirtualHost host;
    host.host = "large" + std::to_string(i) + ".example";
    for (int j = 0; j < 400; ++j) {
      config::Route route = app.host.routes[0];
      route.path = "/" + std::to_string(j);
      host.routes.push_back(route);
    }
    put(host);
  }

  const std::string json = text({.limit = 500});
  const Node found = status({.limit = 500});

  EXPECT_LT(json.size(), 3 * kEnoughStatus);
  EXPECT_NE(at(found, "next"), "");
}

TEST_F(StatusJsonTest, OfManyRoutesOfOneHostThoseThatFailComeFirst) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  const config::Route route = app.host.routes[0];
  for (int i = 0; i < 10'000; ++i) {
    app.host.routes.push_back(route);
    app.host.routes.back().path = "/" + std::to_string(i);
  }
  app.host.routes[9'000].refused = config::Refusal{Reason::SecretMissing, "none"};
  put(app);

  const std::string json = text();
  const Node found = status();

  EXPECT_LT(json.size(), 3 * kEnoughStatus);
  EXPECT_EQ(at(found, "hosts.0.routes_total"), "10001");
  EXPECT_EQ(at(found, "hosts.0.routes"), "(200)");
  EXPECT_EQ(at(found, "hosts.0.routes.0.path"), "/8999");
  EXPECT_EQ(at(found, "hosts.0.routes.1.path"), "/");
}

TEST_F(StatusJsonTest, LongTextsMakeNoLongAnswer) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  app.host.routes[0].refused =
      config::Refusal{Reason::SecretMissing, std::string(std::size_t{1} << 20, 'x')};
  const config::Route route = app.host.routes[0];
  for (int i = 0; i < 20; ++i) app.host.routes.push_back(route);
  put(app);

  EXPECT_LT(text().size(), 5 * kEnoughStatus);
}

TEST_F(StatusJsonTest, OfManyEndpointsThoseThatFailComeFirst) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  app.service.endpoints.clear();
  for (std::uint16_t i = 0; i < 100; ++i) {
    app.service.endpoints.push_back(
        {"127.0.0.1", static_cast<std::uint16_t>(8400 + i), true, true, false});
  }
  put(app);
  shake(app, Reason::HandshakeTimeout);

  const Node found = status();

  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints_total"), "100");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints"), "(20)");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.endpoints.0.address"), "127.0.0.1:8443");
  EXPECT_EQ(at(found, "hosts.0.health"), "warning") << "the others may do";
}

TEST_F(StatusJsonTest, ATcpPortAndAHostThatPassesThroughAreLinesToo) {
  App app = handfast::testing::make_app(state_, "orders", root_);
  put(app.service);
  config::TcpPort port;
  port.port = 5432;
  port.route.ingress_namespace = "edge";
  port.route.service = app.service.name;
  put(port);
  config::VirtualHost host;
  host.host = "pass.example";
  host.passthrough = port.route;
  host.passthrough->ingress = "pass";
  put(host);

  const Node found = status();

  EXPECT_EQ(at(found, "hosts.0.kind"), "passthrough");
  EXPECT_EQ(at(found, "hosts.0.routes.0.service.name"), "shop/orders:443");
  EXPECT_EQ(at(found, "hosts.1.host"), "tcp:5432");
  EXPECT_EQ(at(found, "hosts.1.kind"), "tcp");
}

}  // namespace
}  // namespace handfast::server
