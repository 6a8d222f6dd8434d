#include "controller/translate/source_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace handfast::translate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Of `hosts` hosts with `paths` paths each.
objects::Ingress ingress_with(const std::string& allowed, std::size_t hosts, std::size_t paths) {
  objects::Ingress ingress;
  ingress.meta.ns = "shop";
  ingress.meta.name = "orders";
  ingress.meta.annotations["handfast.dev/allowlist-source-range"] = allowed;
  ingress.rules.resize(hosts);
  for (auto& rule : ingress.rules) rule.paths.resize(paths);
  return ingress;
}

std::string networks(std::size_t count) {
  std::string list;
  for (std::size_t n = 0; n < count; ++n) {
    list.append(n == 0 ? "" : ",")
        .append("10." + std::to_string(n / 256) + '.' + std::to_string(n % 256) + ".0/24");
  }
  return list;
}

struct Read {
  std::optional<config::SourceRanges> ranges;
  std::optional<config::Refusal> refused;
};

Read read(const objects::Ingress& ingress) {
  Report findings;
  ObjectReport report{findings, "Ingress", ingress.meta};
  Read out;
  out.ranges = read_source_ranges(ingress, Annotations{ingress}, report, out.refused);
  return out;
}

TEST(SourceRanges, EachNetworkStandsThereOnce) {
  const Read out = read(ingress_with("192.0.2.7,10.0.0.0/8,192.0.2.7/32,\n10.1.2.3/8", 1, 1));

  ASSERT_TRUE(out.ranges);
  EXPECT_THAT(out.ranges->allowed, ElementsAre("10.0.0.0/8", "192.0.2.7/32"));
}

// Each path has the whole list: one Ingress would take all memory that there is.
TEST(SourceRanges, ManyNetworksForManyPathsRefuse) {
  EXPECT_TRUE(read(ingress_with(networks(1000), 10, 10)).ranges);
  EXPECT_TRUE(read(ingress_with(networks(10'000), 1, 10)).ranges);

  for (const auto& ingress :
       {ingress_with(networks(1000), 1, 101), ingress_with(networks(1000), 101, 1)}) {
    const Read out = read(ingress);
    EXPECT_FALSE(out.ranges);
    ASSERT_TRUE(out.refused);
    EXPECT_EQ(out.refused->reason, Reason::InvalidValue);
    EXPECT_THAT(out.refused->detail, HasSubstr("1000 networks for each of 101 paths"));
  }
}

}  // namespace
}  // namespace handfast::translate
