#include "proxy/config/model.h"

#include <gtest/gtest.h>

namespace handfast::config {
namespace {

TEST(Model, NamesAShardByItsKind) {
  VirtualHost host;
  host.host = "*.shop.example";
  Service service;
  service.name = "shop/api:https";
  UpstreamTls tls;
  tls.name = "shop/orders/api:443";

  EXPECT_EQ(shard_name(host), "host/*.shop.example");
  EXPECT_EQ(shard_name(VirtualHost{}), "host/");
  EXPECT_EQ(shard_name(service), "service/shop/api:https");
  EXPECT_EQ(shard_name(tls), "tls/shop/orders/api:443");
}

// printf abc | sha256sum
TEST(Model, HashesAsSha256sumDoes) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(bucket_of("abc"), 0xba);
}

// printf 'tls.crt 3\nabctls.key 2\nde' | sha256sum
TEST(Model, HashesFilesWithTheirNamesAndSizes) {
  EXPECT_EQ(content_hash({{"tls.key", "de"}, {"tls.crt", "abc"}}),
            "efee0b3c2b3e3745edbaa908b33e1b40049eba6fc18674690ff20e141e85d011");
  EXPECT_NE(content_hash({{"ca.crt", "abc"}}), content_hash({{"ca.crl", "abc"}}));
}

TEST(Model, PlacesFilesWhereTheDesignSays) {
  EXPECT_EQ(generation_directory(42), "generations/000000000042");
  EXPECT_EQ(shard_path("ab12"), "shards/ab/ab12.yaml");
}

}  // namespace
}  // namespace handfast::config
