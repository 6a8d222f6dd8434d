#include <gtest/gtest.h>

#include "proxy/config/text.h"
#include "proxy/config/validate.h"
#include "tests/unit/proxy/config/samples.h"

namespace handfast::config {
namespace {

using testing::asking_host;
using testing::full_policy;
using testing::passed_host;
using testing::sample_client;
using testing::sample_host;
using testing::sample_policy;
using testing::sample_route;
using testing::sample_service;
using testing::sample_tcp;
using testing::tuned_host;

void expect_round_trip(const Shard& shard) {
  const std::string text = serialize(shard);
  const auto parsed = parse_shard(text);
  ASSERT_TRUE(parsed) << parsed.error() << "\n" << text;
  EXPECT_EQ(*parsed, shard) << text;
  EXPECT_EQ(serialize(*parsed), text);
}

TEST(Shard, SurvivesTheTripThroughText) {
  expect_round_trip(sample_host());
  expect_round_trip(tuned_host());
  expect_round_trip(asking_host());
  expect_round_trip(sample_service());
  expect_round_trip(sample_policy());
  expect_round_trip(full_policy());
  expect_round_trip(sample_tcp());
  expect_round_trip(passed_host());
  expect_round_trip(VirtualHost{});

  expect_round_trip(Front{});
  Front front{
      .ticket_keys = {{"tls/shop/tickets/00112233445566ff/ticket.key", "Secret/shop/tickets"}},
      .versions = {TlsVersion::Tls13},
      .ciphers = "HIGH",
      .groups = "X25519",
      .http2 = false,
      .session_tickets = false,
      .hsts = false,
      .hsts_max_age = 0,
      .hsts_include_subdomains = false,
      .hsts_preload = true};
  expect_round_trip(front);
  front.versions = Front{}.versions;
  expect_round_trip(front);

  VirtualHost asking = sample_host();
  asking.client = sample_client();
  asking.routes[0].client = ClientAccess{.verify = ClientVerify::OptionalNoCa,
                                         .error_page = "https://shop.test/why",
                                         .pass_certificate = true,
                                         .refused = {}};
  expect_round_trip(asking);
  asking.routes[0].sources =
      SourceRanges{.denied = {"10.1.0.0/16"}, .allowed = {"10.0.0.0/8", "2001:db8::/32"}};
  expect_round_trip(asking);
  asking.client = ClientTls{.ca = sample_client().ca, .crl = {}, .subject = {}, .names = {}};
  asking.routes[0].client = ClientAccess{
      .verify = ClientVerify::On, .error_page = {}, .refused = Refusal{Reason::CaMissing, "no CA"}};
  expect_round_trip(asking);

  UpstreamTls refused;
  refused.name = "shop/orders/api:443";
  refused.refused =
      Refusal{Reason::CaMissing, "Secret shop/x: \"ca.crt\" \\ufffd \\\\ is missing\x7f"};
  expect_round_trip(refused);

  Service external;
  external.name = "shop/ext:443";
  external.external_name = true;
  external.endpoints = {{"partner.example.org", 443, true, true, false}};
  expect_round_trip(external);
}

TEST(Shard, WritesOfARoutesTrafficOnlyWhatDiffersFromTheDefault) {
  const std::string usual = serialize(sample_host());
  const std::string tuned = serialize(tuned_host());

  for (const char* field : {"http2:", "connect_timeout_ms:", "read_timeout_ms:", "send_timeout_ms:",
                            "retry:", "load_balance:", "hash_by:", "max_body_bytes:",
                            "request_buffering:", "response_buffering:", "max_temp_bytes:"}) {
    EXPECT_EQ(usual.find(field), std::string::npos) << field;
    EXPECT_NE(tuned.find(field), std::string::npos) << field;
  }
  EXPECT_EQ(tuned.find("http2:"), tuned.rfind("http2:")) << "gRPC is HTTP/2 without a word";
}

TEST(Shard, RefusesARouteThatNeedsACertificateNobodyAsksFor) {
  VirtualHost host = sample_host();
  host.routes[0].client.emplace();
  EXPECT_FALSE(validate(Shard{host}));

  host.routes[0].client->refused = Refusal{Reason::CaMissing, "no CA"};
  EXPECT_TRUE(validate(Shard{host}));
}

TEST(Shard, RefusesAHostThatAsksForCertificatesOfNobody) {
  VirtualHost host = sample_host();
  host.client = sample_client();
  host.client->ca.clear();
  EXPECT_FALSE(validate(Shard{host}));

  host.client = sample_client();
  host.client->revocation = RevocationScope::Off;
  EXPECT_FALSE(validate(Shard{host}));
}

// It would be a restriction that restricts nobody.
TEST(Shard, RefusesListsOfAddressesWithoutAny) {
  VirtualHost host = sample_host();
  host.routes[0].sources = SourceRanges{};

  EXPECT_FALSE(validate(Shard{host}));
}

TEST(Shard, ReadsARetryWithoutConditionsAsNever) {
  VirtualHost host = tuned_host();
  host.routes[1].retry = {.error = false, .timeout = false, .statuses = {}};
  expect_round_trip(host);
}

TEST(Shard, WritesBytesThatAreNotUtf8AsTheReplacementCharacter) {
  Service service = sample_service();
  service.refused = Refusal{Reason::PortMissing, "port \xff\\\xfe"};
  const std::string text = serialize(service);

  const auto parsed = parse_shard(text);

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(std::get<Service>(*parsed).refused->detail, "port \xef\xbf\xbd\\\xef\xbf\xbd");
  EXPECT_EQ(serialize(*parsed), text);
}

TEST(Shard, FillsInTheDocumentedDefaults) {
  const auto parsed = parse_shard(R"(
format: "1.0"
kind: tls
name: shop/orders/api:443
ca:
  - path: tls/shop/orders-tls/0123456789abcdef/ca.crt
crl:
  - path: tls/shop/orders-tls/0123456789abcdef/ca.crl
names: [api.shop.svc]
)");

  ASSERT_TRUE(parsed) << parsed.error();
  const auto& tls = std::get<UpstreamTls>(*parsed);
  EXPECT_TRUE(tls.verify);
  EXPECT_EQ(tls.verify_depth, 4);
  EXPECT_EQ(tls.revocation, RevocationScope::Chain);
  EXPECT_EQ(tls.versions, (std::vector{TlsVersion::Tls12, TlsVersion::Tls13}));
  EXPECT_FALSE(tls.sni);
}

// Replaces `what` by `with` in the text of `shard` and answers the error.
Error error_after(const Shard& shard, std::string_view what, std::string_view with) {
  std::string text = serialize(shard);
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << text;
  text.replace(at, what.size(), with);
  const auto parsed = parse_shard(text);
  EXPECT_FALSE(parsed) << text;
  return parsed ? Error{} : parsed.error();
}

TEST(Shard, NamesLineAndFieldOfAnError) {
  const Error error = error_after(sample_host(), "protocol: \"HTTPS\"", "protocol: \"FTP\"");

  EXPECT_EQ(error.reason, Reason::BadObject);
  EXPECT_EQ(error.detail, "line 19: routes[0].protocol: must be one of HTTP, HTTPS, GRPC, GRPCS");
}

struct Spoiled {
  Shard shard;
  std::string what, with, expected;
};

class SpoiledShard : public ::testing::TestWithParam<Spoiled> {};

TEST_P(SpoiledShard, IsRefused) {
  const Error error = error_after(GetParam().shard, GetParam().what, GetParam().with);

  EXPECT_NE(error.detail.find(GetParam().expected), std::string::npos) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, SpoiledShard,
    ::testing::Values(
        Spoiled{sample_policy(), "format: \"1.4\"", "format: \"2.0\"", "version 2.0"},
        Spoiled{sample_policy(), "format: \"1.4\"", "format: \"1\"", "must be a version"},
        Spoiled{sample_policy(), "kind: \"tls\"", "kind: \"udp\"", "kind"},
        Spoiled{sample_tcp(), "port: 9000", "port: 0", "from 1 to 65535"},
        Spoiled{sample_tcp(), "port: 9000", "port: 65536", "from 1 to 65535"},
        Spoiled{sample_tcp(), "service: \"shop/db:5432\"", "service: \"\"", "route.service"},
        Spoiled{sample_tcp(), "idle_timeout_ms: 1\n", "idle_timeout_ms: 0\n", "idle_timeout_ms"},
        Spoiled{sample_tcp(), "[\"timeout\"]", "[\"timeout\", \"http_502\"]", "error and timeout"},
        Spoiled{sample_tcp(), "tls/shop/orders-tls/0123456789abcdef/tls.crt", "../tls.crt",
                "certificate"},
        Spoiled{sample_tcp(), "tls/shop/people/0123456789abcdef/ca.crt", "../ca.crt", "client.ca"},
        Spoiled{passed_host(), "host: \"passed.example\"", "host: \"\"", "needs a host"},
        Spoiled{sample_policy(), "verify: true", "verify: yes", "verify: must be true or false"},
        Spoiled{sample_policy(), "verify: true", "verify: \"true\"", "must be true or false"},
        Spoiled{sample_policy(), "verify: true", "verfy: true", "verfy: is not a field"},
        Spoiled{sample_policy(), "verify_depth: 4", "verify_depth: 0", "from 1 to 255"},
        Spoiled{sample_policy(), "verify_depth: 4", "verify_depth: 256", "from 1 to 255"},
        Spoiled{sample_policy(), "verify_depth: 4", "verify_depth: -1", "from 1 to 255"},
        Spoiled{sample_policy(), "verify_depth: 4", "verify_depth: 4x", "from 1 to 255"},
        Spoiled{sample_policy(), "name: \"shop/orders/api:443\"\n", "", "name: is missing"},
        Spoiled{sample_policy(), "\"TLSv1.2\", ", "\"SSLv3\", ", "versions: must be one of"},
        Spoiled{sample_policy(), "\"TLSv1.2\", ", "\"TLSv1.3\", ", "versions: must be sorted"},
        Spoiled{sample_policy(), "revocation: \"Chain\"", "revocation: \"Off\"", "revocation"},
        Spoiled{sample_policy(), "sni: \"api.shop.svc\"", "sni:", "sni: must be a text"},
        Spoiled{full_policy(), "type: \"SPKISHA256\"", "type: \"SHA1\"", "type: must be one of"},
        Spoiled{full_policy(), std::string(64, 'a'), "A", "pins"},
        Spoiled{full_policy(),
                "allow_without_crl:", "pin_only: true\nallow_without_crl:", "pin_only"},
        Spoiled{full_policy(), "ocsp: \"IfPresent\"", "ocsp: \"Maybe\"", "ocsp: must be one of"},
        Spoiled{full_policy(), "verify: true", "verify: false", "verify: is off"},
        Spoiled{sample_policy(), "tls/shop/orders-tls/fedcba9876543210/ca.crt",
                "tls/shop/orders-tls/../../../etc/shadow", "relative path"},
        Spoiled{sample_policy(), "tls/shop/orders-tls/fedcba9876543210/ca.crt", "/etc/shadow",
                "relative path"},
        Spoiled{sample_policy(), "tls/shop/orders-tls/fedcba9876543210/ca.crt", "shards/a/b/c/d",
                "must be tls/"},
        Spoiled{sample_policy(), "[\"api.shop.svc\", \"api.shop.svc.cluster.local\"]", "[]",
                "names"},
        Spoiled{sample_policy(), "\"api.shop.svc\", ", "\"api\\0.shop.svc\", ", "NUL"},
        Spoiled{sample_host(), "upstream_tls: \"shop/orders/api:443\"\n", "upstream_tls: \"\"\n",
                "routes[0].upstream_tls"},
        Spoiled{sample_host(), "service: \"shop/api:443\"", "service: \"\"", "routes[0].service"},
        Spoiled{sample_host(), "path: \"/orders\"", "path: \"orders\"", "must begin with '/'"},
        Spoiled{sample_host(), "path: \"/orders\"", "path: \"/\"", "stands twice"},
        Spoiled{sample_host(), "reason: \"invalid_value\"", "reason: \"ok\"", "reason word"},
        Spoiled{sample_host(), "host: \"shop.example\"", "host: \"Shop.example\"", "lower-case"},
        Spoiled{sample_host(), "host: \"shop.example\"", "host: \"a.*.example\"", "lower-case"},
        Spoiled{asking_host(), "upstream_tls: \"shop/orders@auth/proxy.auth.svc:4180\"",
                "upstream_tls: \"\"", "auth.http2: is Offer"},
        Spoiled{asking_host(), "authority: \"proxy", "authority: \" proxy", "auth.authority"},
        Spoiled{asking_host(), "target: \"/check", "target: \"check", "auth.target"},
        Spoiled{asking_host(), "$host\"", "$hostname\"", "auth.target: the variable $hostname"},
        Spoiled{asking_host(), "method: \"POST\"", "method: \"P ST\"", "auth.method"},
        Spoiled{asking_host(), "/start", "/\\x01", "auth.signin: holds control"},
        Spoiled{asking_host(), "X-Auth-User", "X_Real.IP", "auth.response_headers: holds one"},
        Spoiled{asking_host(), "X-Auth-User", "X User", "auth.response_headers: holds one"},
        Spoiled{asking_host(), "X-Tenant", "Transfer-Encoding", "auth.set_headers: holds one"},
        Spoiled{asking_host(), "X-Tenant", "X_Original.URL", "auth.set_headers: holds one"},
        Spoiled{asking_host(), "$http_x_tenant", "$tenant", "auth.set_headers: the variable"},
        Spoiled{asking_host(), "cache_key: \"$cookie_sid\"", "cache_key: \"\"", "auth.cache: goes"},
        Spoiled{asking_host(), "seconds: 300", "seconds: 0", "cache[0].seconds"},
        Spoiled{asking_host(), "\"200\", ", "\"2o0\", ", "cache[0].statuses"},
        Spoiled{asking_host(), "\"200\", ", "\"402\", ", "auth.cache: must be sorted"},
        Spoiled{asking_host(), "always_set_cookie: true", "allways: true", "is not a field"},
        Spoiled{tuned_host(), "http2: \"Offer\"", "http2: \"Maybe\"", "http2: must be one of"},
        Spoiled{tuned_host(), "connect_timeout_ms: 1500", "connect_timeout_ms: 0",
                "from 1 to 4294967295"},
        Spoiled{tuned_host(), "read_timeout_ms: 4294967295", "read_timeout_ms: 4294967296",
                "from 1 to 4294967295"},
        Spoiled{tuned_host(), "tries: 0", "tries: -1", "routes[1].retry.tries"},
        Spoiled{tuned_host(), "\"timeout\"", "\"timeouts\"", "routes[1].retry.conditions"},
        Spoiled{tuned_host(), "http_502", "http_5o2", "routes[1].retry.conditions"},
        Spoiled{tuned_host(), "http_502", "http_66038", "routes[1].retry.conditions"},
        Spoiled{tuned_host(), "http_502", "http_501", "http_501 is none of"},
        Spoiled{tuned_host(), "http_502", "http_429", "sorted, each once"},
        Spoiled{tuned_host(), "\"ConsistentHash\"", "\"RoundRobin\"", "routes[1].hash_by: is set"},
        Spoiled{tuned_host(), "hash_by: \"$remote_addr\"", "hash_by: \"\"",
                "routes[1].hash_by: is missing"},
        Spoiled{tuned_host(), "$remote_addr", "$request_body", "routes[1].hash_by: "},
        Spoiled{tuned_host(), "max_body_bytes: 0", "max_body_bytes: 9223372036854775808",
                "from 0 to"},
        Spoiled{tuned_host(), "request_buffering: true", "request_buffering: 1",
                "must be true or false"},
        Spoiled{sample_service(), "port: 8443", "port: 65536", "endpoints[0].port"},
        Spoiled{sample_service(), "address: \"10.0.0.7\"", "address: \"pod-7\"",
                "endpoints[0].address"},
        Spoiled{sample_service(), "endpoints:\n", "endpoints:\n  - 7\n", "must be a map"}));

TEST(Shard, MayLackTrustOnlyIfItIsRefused) {
  UpstreamTls tls = sample_policy();
  tls.ca.clear();

  const Status open = validate(tls);
  tls.refused = Refusal{Reason::CaMissing, "no CA"};
  const Status refused = validate(tls);

  ASSERT_FALSE(open);
  EXPECT_TRUE(open.error().detail.starts_with("ca:")) << open.error();
  EXPECT_TRUE(refused) << refused.error();
}

TEST(Shard, MustKeepKeyAndCertificateTogether) {
  UpstreamTls tls = sample_policy();
  tls.identity->key = "tls/other/pair/0123456789abcdef/tls.key";

  const Status valid = validate(tls);

  ASSERT_FALSE(valid);
  EXPECT_TRUE(valid.error().detail.starts_with("identity: key")) << valid.error();
}

TEST(Shard, MustNotNameTlsWithoutHttps) {
  VirtualHost host = sample_host();
  host.routes[0].protocol = BackendProtocol::Http;

  EXPECT_FALSE(validate(host));
  host.routes[0].upstream_tls.clear();
  EXPECT_TRUE(validate(host));
}

TEST(Shard, MustNotOfferHttp2WithoutTls) {
  VirtualHost host = sample_host();
  host.routes[0].protocol = BackendProtocol::Http;
  host.routes[0].upstream_tls.clear();
  host.routes[0].http2 = Http2::Offer;

  EXPECT_FALSE(validate(host));
  host.routes[0].http2 = Http2::Require;
  EXPECT_TRUE(validate(host));
}

TEST(Shard, MustSpeakHttp2AndStreamWithGrpc) {
  VirtualHost host = tuned_host();
  Route& grpc = host.routes[0];
  ASSERT_TRUE(validate(host));

  grpc.http2 = Http2::Offer;
  EXPECT_FALSE(validate(host));
  grpc.http2 = Http2::Require;
  grpc.request_buffering = true;
  EXPECT_FALSE(validate(host));
  grpc.request_buffering = false;
  grpc.response_buffering = true;
  EXPECT_FALSE(validate(host));
  grpc.response_buffering = false;
  grpc.upstream_tls.clear();
  EXPECT_FALSE(validate(host));
  grpc.protocol = BackendProtocol::Grpc;
  EXPECT_TRUE(validate(host));
}

}  // namespace
}  // namespace handfast::config
