#include "proxy/config/pack.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/config/model.h"
#include "proxy/config/text.h"

namespace handfast::config {
namespace {

std::string service_text(const std::string& name) {
  Service service;
  service.name = name;
  return serialize(Shard{service});
}

TEST(Pack, GivesBackWhatWasPutIn) {
  const std::string one = service_text("shop/one:443");
  const std::string two = service_text("shop/two:443");
  std::string text = serialize(Bucket{{"service/shop/one:443", sha256_hex(one)}});
  const std::string bucket = text;
  append_to_pack(text, one);
  append_to_pack(text, two);

  const Pack pack = split_pack(text);

  EXPECT_EQ(pack.bucket, bucket);
  ASSERT_EQ(pack.shards.size(), 2U);
  EXPECT_EQ(pack.shards.at(sha256_hex(one)), one);
  EXPECT_EQ(pack.shards.at(sha256_hex(two)), two);
}

TEST(Pack, OfABucketAloneHasNoShards) {
  const std::string text = serialize(Bucket{});

  EXPECT_EQ(split_pack(text).bucket, text);
  EXPECT_TRUE(split_pack(text).shards.empty());
  EXPECT_TRUE(split_pack("").shards.empty());
}

TEST(Pack, AMarkWithinALineIsNone) {
  Service service;
  service.name = "shop/---:443";
  service.refused = Refusal{Reason::ServiceMissing, "---\n---\n"};
  const std::string shard = serialize(Shard{service});
  std::string text = serialize(Bucket{});
  append_to_pack(text, shard);

  const Pack pack = split_pack(text);

  ASSERT_EQ(pack.shards.size(), 1U);
  EXPECT_EQ(pack.shards.begin()->second, shard);
}

TEST(Pack, IsSplitWhereverItEnds) {
  std::string text = serialize(Bucket{});
  const std::string bucket = text;
  append_to_pack(text, service_text("shop/one:443"));

  for (std::size_t end = 0; end <= text.size(); ++end) {
    const std::string part = text.substr(0, end);
    const Pack pack = split_pack(part);
    EXPECT_LE(pack.shards.size(), 1U);
    EXPECT_EQ(pack.bucket == bucket,
              end >= bucket.size() && (end == bucket.size() || end >= bucket.size() + 4));
  }
}

}  // namespace
}  // namespace handfast::config
