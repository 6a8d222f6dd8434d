#include "controller/publish/replacement.h"

#include <gtest/gtest.h>

#include "tests/unit/controller/publish/samples.h"

namespace handfast::publish {
namespace {

config::UpstreamTls policy(const std::string& pair, const std::string& ca) {
  Content content;
  testing::add_app(content, "orders", pair, ca);
  return std::get<config::UpstreamTls>(content.shards[2]);
}

config::Rejection about(const std::string& field) {
  return {"tls/shop/orders/orders:443", field, "", Reason::KeyMismatch, "does not fit"};
}

TEST(Replacement, KeepsTheLastGoodOneOfTheRejectedItemAlone) {
  const auto old = policy("1", "authority 1");
  const auto rejected = policy("2", "authority 2");

  const auto instead =
      std::get<config::UpstreamTls>(replacement_for(rejected, old, about("identity.key")));

  EXPECT_EQ(instead.identity, old.identity);
  EXPECT_EQ(instead.ca, rejected.ca);
  EXPECT_FALSE(instead.refused);
}

TEST(Replacement, NeverLoosensTheRules) {
  auto old = policy("1", "authority 1");
  old.verify_depth = 9;
  auto rejected = policy("2", "authority 1");
  rejected.names = {"other.shop.svc"};

  const auto instead =
      std::get<config::UpstreamTls>(replacement_for(rejected, old, about("identity")));

  EXPECT_EQ(instead.verify_depth, rejected.verify_depth);
  EXPECT_EQ(instead.names, rejected.names);
}

TEST(Replacement, RefusesWhereTheItemIsAnotherObjects) {
  const auto old = policy("1", "authority 1");
  auto rejected = policy("2", "authority 1");
  rejected.identity->source = "Secret/shop/other";

  const auto instead =
      std::get<config::UpstreamTls>(replacement_for(rejected, old, about("identity")));

  ASSERT_TRUE(instead.refused);
  EXPECT_EQ(instead.refused->reason, Reason::KeyMismatch);
  EXPECT_EQ(instead.refused->detail, "identity: does not fit");
  EXPECT_FALSE(instead.identity);
}

TEST(Replacement, RefusesWhatWasNeverGood) {
  const auto instead = replacement_for(policy("1", "a"), std::nullopt, about("ca[0]"));

  EXPECT_TRUE(std::get<config::UpstreamTls>(instead).refused);
  EXPECT_TRUE(config::validate(instead));
}

TEST(Replacement, ServesAHostWithoutItsRejectedCertificate) {
  config::VirtualHost host;
  host.host = "shop.example";
  host.tls = true;
  host.certificate = policy("1", "a").identity;
  config::Route route;
  route.path = "/";
  route.service = "shop/orders:80";
  host.routes = {route};

  const auto instead =
      std::get<config::VirtualHost>(replacement_for(host, std::nullopt, about("certificate.key")));

  EXPECT_FALSE(instead.certificate);
  EXPECT_TRUE(instead.certificate_problem);
  EXPECT_FALSE(instead.routes[0].refused);
}

TEST(Replacement, TakesBackOneOfSeveralCertificates) {
  const auto pair = [](const std::string& name, const std::string& hash) {
    const std::string directory = "tls/shop/" + name + '/' + hash;
    return config::KeyPairRef{directory + "/tls.crt", directory + "/tls.key",
                              "Secret/shop/" + name};
  };
  config::VirtualHost old;
  old.host = "shop.example";
  old.certificate = pair("rsa", "1");
  config::VirtualHost rejected = old;
  rejected.certificate = pair("rsa", "2");
  rejected.more_certificates = {pair("ec", "2")};
  const auto without = [&](const char* name, const std::optional<config::Shard>& last_good) {
    config::Rejection rejection = about("more_certificates");
    rejection.file = pair(name, "2").certificate;
    return std::get<config::VirtualHost>(replacement_for(rejected, last_good, rejection));
  };

  EXPECT_EQ(without("ec", old).certificate, pair("rsa", "2"));
  EXPECT_TRUE(without("ec", old).more_certificates.empty());
  EXPECT_EQ(without("rsa", old).certificate, pair("rsa", "1"));
  EXPECT_EQ(without("rsa", old).more_certificates, rejected.more_certificates);
  EXPECT_EQ(without("rsa", std::nullopt).certificate, pair("ec", "2"));
  EXPECT_FALSE(without("rsa", std::nullopt).certificate_problem);
}

TEST(Replacement, TakesBackOfTheFrontWhatWasRejectedAlone) {
  config::Front old;
  old.ciphers = "HIGH";
  config::Front rejected = old;
  rejected.ciphers = "NOBODY-KNOWS";
  rejected.versions = {config::TlsVersion::Tls13};
  rejected.ticket_keys = {{"tls/shop/tickets/0123456789abcdef/ticket.key", "Secret/shop/tickets"}};

  const auto of_front = [&](const std::optional<config::Shard>& last_good, const char* field) {
    return std::get<config::Front>(replacement_for(rejected, last_good, about(field)));
  };

  config::Front wanted = rejected;
  wanted.ciphers = "HIGH";
  EXPECT_EQ(of_front(old, "ciphers"), wanted);
  wanted.ciphers = "";
  EXPECT_EQ(of_front(std::nullopt, "ciphers"), wanted);
  EXPECT_EQ(of_front(rejected, "ciphers"), wanted);
  wanted = rejected;
  wanted.ticket_keys = {};
  EXPECT_EQ(of_front(old, "ticket_keys"), wanted);
}

config::VirtualHost asking_host(const std::string& hash) {
  config::VirtualHost host;
  host.host = "shop.example";
  host.client.emplace().ca = {{"tls/shop/clients/" + hash + "/ca.crt", "Secret/shop/clients"}};
  config::Route open;
  open.path = "/";
  open.service = "shop/orders:80";
  config::Route closed = open;
  closed.path = "/closed";
  closed.client.emplace();
  host.routes = {closed, open};
  return host;
}

TEST(Replacement, LetsNobodyInWhoseCaWasRejectedAndServesTheOthers) {
  const auto instead = std::get<config::VirtualHost>(
      replacement_for(asking_host("1"), std::nullopt, about("client.ca")));

  EXPECT_FALSE(instead.client);
  EXPECT_TRUE(instead.routes[0].client->refused);
  EXPECT_FALSE(instead.routes[1].refused);
  EXPECT_TRUE(config::validate(config::Shard{instead}));
}

TEST(Replacement, KeepsTheLastGoodCaOfClientsFromTheSameSource) {
  const auto instead = std::get<config::VirtualHost>(
      replacement_for(asking_host("2"), asking_host("1"), about("client.ca")));

  EXPECT_EQ(instead, asking_host("1"));
}

TEST(Replacement, NeverOpensWhatAHostClosed) {
  config::VirtualHost old = asking_host("1");
  old.client.reset();
  old.routes[0].client.reset();

  const auto instead =
      std::get<config::VirtualHost>(replacement_for(asking_host("1"), old, about("")));

  for (const config::Route& route : instead.routes) EXPECT_TRUE(route.refused);
}

TEST(Replacement, AServiceFallsBackWhole) {
  config::Service old;
  old.name = "shop/orders:443";
  config::Service rejected = old;
  rejected.endpoints = {{"10.0.0.7", 1, true, true, false}};

  EXPECT_EQ(std::get<config::Service>(replacement_for(rejected, old, about(""))), old);
  const auto refused =
      std::get<config::Service>(replacement_for(rejected, std::nullopt, about("")));
  EXPECT_TRUE(refused.refused);
  EXPECT_TRUE(refused.endpoints.empty());
}

TEST(Replacement, OfATcpPortNeverBringsBackAnOlderRoute) {
  config::TcpPort old;
  old.port = 9000;
  old.certificate = policy("1", "authority").identity;
  old.route.service = "shop/orders:443";
  config::TcpPort rejected = old;
  rejected.certificate = policy("2", "authority").identity;
  rejected.route.upstream_tls = "shop/orders@utls/orders:443";

  const auto instead =
      std::get<config::TcpPort>(replacement_for(rejected, old, about("certificate")));
  rejected.certificate->source = "Secret/shop/other";
  const auto refused =
      std::get<config::TcpPort>(replacement_for(rejected, old, about("certificate")));

  EXPECT_EQ(instead.certificate, old.certificate);
  EXPECT_EQ(instead.route, rejected.route);
  EXPECT_TRUE(refused.route.refused);
  EXPECT_FALSE(refused.certificate);
}

TEST(Replacement, OfATcpPortKeepsTheLastGoodCaOfItsClientsOrClosesIt) {
  config::TcpPort old;
  old.port = 9000;
  old.certificate = policy("1", "authority").identity;
  old.client.emplace().ca = policy("1", "1").ca;
  old.route.service = "shop/orders:443";
  config::TcpPort rejected = old;
  rejected.client->ca = policy("1", "2").ca;
  rejected.client->verify_depth = 2;

  const auto instead =
      std::get<config::TcpPort>(replacement_for(rejected, old, about("client.ca")));
  const auto refused =
      std::get<config::TcpPort>(replacement_for(rejected, std::nullopt, about("client.ca")));

  ASSERT_TRUE(instead.client);
  EXPECT_EQ(instead.client->ca, old.client->ca);
  EXPECT_EQ(instead.client->verify_depth, 2);
  EXPECT_TRUE(refused.client_refused);
  EXPECT_FALSE(refused.client);
  EXPECT_TRUE(refused.route.refused);
}

TEST(Replacement, AClosedShardIsValidAndRepeatsOnlyItsName) {
  for (const std::string name : {"host/shop.example", "host/", "service/shop/orders:443",
                                 "tls/shop/orders/orders:443", "tcp/9000", "front/"}) {
    const config::Shard shard =
        closed({name, "routes[0].path", "", Reason::BadObject, "can't be read"});

    EXPECT_EQ(config::shard_name(shard), name);
    EXPECT_TRUE(config::validate(shard)) << name;
    const auto again = config::parse_shard(config::serialize(shard));
    ASSERT_TRUE(again) << again.error();
    EXPECT_EQ(*again, shard);
  }
}

}  // namespace
}  // namespace handfast::publish
