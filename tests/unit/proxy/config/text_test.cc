#include "proxy/config/text.h"

#include <gtest/gtest.h>

#include "tests/unit/proxy/config/samples.h"

namespace handfast::config {
namespace {

TEST(Bucket, SurvivesTheTripThroughText) {
  const Bucket bucket = {{"host/", std::string(64, 'a')},
                         {"host/*.shop.example", std::string(64, '0')},
                         {"service/shop/api:443", std::string(64, 'f')}};

  const auto parsed = parse_bucket(serialize(bucket));
  const auto empty = parse_bucket(serialize(Bucket{}));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, bucket);
  ASSERT_TRUE(empty) << empty.error();
  EXPECT_TRUE(empty->empty());
}

TEST(Bucket, RefusesWhatIsNotAHashOrAShard) {
  const std::string head = "format: \"1.0\"\nkind: bucket\nshards:\n";
  const std::string hash(64, 'a');

  EXPECT_FALSE(parse_bucket(head + "  host/a: abc\n"));
  EXPECT_FALSE(parse_bucket(head + "  host/a: " + std::string(64, 'A') + "\n"));
  EXPECT_FALSE(parse_bucket(head + "  ../a: " + hash + "\n"));
  EXPECT_FALSE(parse_bucket("format: \"1.0\"\nkind: bucket\n"));
  EXPECT_FALSE(parse_bucket("format: \"1.0\"\nkind: index\nshards: {}\n"));
  EXPECT_TRUE(parse_bucket(head + "  host/a: " + hash + "\n"));
}

TEST(Index, SurvivesTheTripThroughText) {
  Index index;
  index.generation = 42;
  index.time = 1'764'000'000;
  index.default_certificate = testing::sample_pair();
  index.buckets[0] = std::string(64, '1');
  index.buckets[255] = std::string(64, '2');

  const std::string text = serialize(index);
  const auto parsed = parse_index(text);

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, index);
  EXPECT_EQ(serialize(*parsed), text);
}

TEST(Index, MayBeEmpty) {
  Index index;
  index.generation = 1;

  const auto parsed = parse_index(serialize(index));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, index);
}

TEST(Index, RefusesWhatDoesNotNameABucket) {
  const std::string head = "format: \"1.0\"\nkind: index\ngeneration: 1\ntime: 0\n";
  const std::string hash(64, 'a');

  EXPECT_TRUE(parse_index(head + "buckets: {\"0f\": " + hash + "}\n"));
  EXPECT_FALSE(parse_index(head + "buckets: {\"0F\": " + hash + "}\n"));
  EXPECT_FALSE(parse_index(head + "buckets: {\"f\": " + hash + "}\n"));
  EXPECT_FALSE(parse_index(head + "buckets: {\"0f\": \"\"}\n"));
  EXPECT_FALSE(parse_index(head));
  EXPECT_FALSE(parse_index("format: \"1.0\"\nkind: index\ngeneration: 0\ntime: 0\nbuckets: {}\n"));
}

constexpr std::string_view kStandalone = R"(# A proxy without a controller.
format: "1.0"
default_certificate: {certificate: front/tls.crt, key: front/tls.key}
hosts:
  - host: shop.example
    routes:
      - {path: /, type: Prefix, service: "shop/api:443", protocol: HTTPS,
         upstream_tls: "shop/orders/api:443"}
      - {path: /healthz, type: Exact, service: "shop/api:443", protocol: HTTPS,
         upstream_tls: "shop/orders/api:443"}
services:
  - name: shop/api:443
    endpoints:
      - {address: 10.0.0.7, port: 8443}
tls:
  - name: shop/orders/api:443
    identity: {certificate: client.crt, key: client.key}
    ca: [{path: ca.crt}]
    names: [api.shop.svc]
)";

TEST(Standalone, IsWhatAPersonWouldWrite) {
  const auto parsed = parse_standalone(kStandalone);

  ASSERT_TRUE(parsed) << parsed.error();
  ASSERT_EQ(parsed->shards.size(), 3u);
  EXPECT_EQ(parsed->default_certificate->key, "front/tls.key");
  const auto& host = std::get<VirtualHost>(parsed->shards[0]);
  EXPECT_EQ(host.routes[0].path, "/healthz");
  EXPECT_EQ(host.routes[1].path, "/");
}

TEST(Standalone, RefusesReferencesToWhatIsNotThere) {
  std::string text{kStandalone};
  text.replace(text.find("name: shop/api:443"), 18, "name: shop/api:444");

  const auto parsed = parse_standalone(text);

  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().detail.find("no service is called \"shop/api:443\""), std::string::npos)
      << parsed.error();
}

TEST(Standalone, RefusesPathsOutsideOfItsDirectory) {
  std::string text{kStandalone};
  text.replace(text.find("ca.crt"), 6, "../ca.crt");

  const auto parsed = parse_standalone(text);

  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().detail.find("tls[0]: ca:"), std::string::npos) << parsed.error();
}

TEST(Standalone, RefusesTheSameServiceTwice) {
  std::string text{kStandalone};
  text.insert(text.find("tls:\n"), "  - {name: \"shop/api:443\", endpoints: []}\n");

  EXPECT_FALSE(parse_standalone(text));
}

}  // namespace
}  // namespace handfast::config
