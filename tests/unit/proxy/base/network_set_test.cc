#include "proxy/base/network_set.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace handfast {
namespace {

NetworkSet networks(const std::vector<std::string>& texts) {
  return NetworkSet::parse(texts).value();
}

IpBytes ip(const std::string& text) { return parse_ip(text).value(); }

std::string complaint(const std::string& text) {
  const auto set = NetworkSet::parse({text});
  return set ? "" : set.error().detail;
}

TEST(NetworkSet, HoldsWhatLiesBetweenTheEndsOfItsNetworks) {
  const NetworkSet set = networks({"192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"});

  for (const char* in : {"192.0.2.0", "192.0.2.255", "10.0.0.0", "10.255.255.255",
                         "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    EXPECT_TRUE(set.contains(ip(in))) << in;
  }
  for (const char* out :
       {"192.0.1.255", "192.0.3.0", "9.255.255.255", "11.0.0.0", "0.0.0.0", "255.255.255.255",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "::", "::1"}) {
    EXPECT_FALSE(set.contains(ip(out))) << out;
  }
}

TEST(NetworkSet, TakesABareAddressAsANetworkOfOne) {
  const NetworkSet set = networks({"192.0.2.7", "2001:db8::7"});

  EXPECT_TRUE(set.contains(ip("192.0.2.7")));
  EXPECT_TRUE(set.contains(ip("2001:db8::7")));
  EXPECT_FALSE(set.contains(ip("192.0.2.8")));
  EXPECT_FALSE(set.contains(ip("2001:db8::6")));
}

TEST(NetworkSet, HoldsNothingWhenItIsEmpty) {
  EXPECT_TRUE(networks({}).empty());
  EXPECT_FALSE(networks({}).contains(ip("192.0.2.7")));
  EXPECT_FALSE(networks({"0.0.0.0/0"}).empty());
}

TEST(NetworkSet, KnowsEveryLengthOfPrefix) {
  for (int prefix = 0; prefix <= 32; ++prefix) {
    const NetworkSet set = networks({"0.0.0.0/" + std::to_string(prefix)});
    EXPECT_TRUE(set.contains(ip("0.0.0.0"))) << prefix;
    EXPECT_EQ(set.contains(ip("128.0.0.0")), prefix == 0) << prefix;
    EXPECT_EQ(set.contains(ip("0.0.0.1")), prefix < 32) << prefix;
  }
  for (int prefix = 0; prefix <= 128; ++prefix) {
    const NetworkSet set = networks({"8000::/" + std::to_string(prefix == 0 ? 1 : prefix)});
    EXPECT_TRUE(set.contains(ip("8000::"))) << prefix;
    EXPECT_EQ(set.contains(ip("8000::1")), prefix < 128) << prefix;
    EXPECT_EQ(set.contains(ip("8000:0:0:0:8000::")), prefix <= 64) << prefix;
    EXPECT_FALSE(set.contains(ip("7fff::"))) << prefix;
  }
}

TEST(NetworkSet, TakesAMappedAddressForTheIpv4OneItIs) {
  EXPECT_TRUE(networks({"192.0.2.0/24"}).contains(ip("::ffff:192.0.2.7")));
  EXPECT_TRUE(networks({"::ffff:192.0.2.0/120"}).contains(ip("192.0.2.7")));
  EXPECT_FALSE(networks({"::ffff:192.0.2.0/120"}).contains(ip("192.0.3.7")));
}

TEST(NetworkSet, HoldsNoIpv4AddressForAnIpv6Network) {
  const NetworkSet all = networks({"::/0"});
  const NetworkSet around = networks({"::fffe:0:0/95"});

  EXPECT_TRUE(all.contains(ip("::")));
  EXPECT_TRUE(all.contains(ip("2001:db8::1")));
  EXPECT_TRUE(all.contains(ip("::1:0:0:0")));
  EXPECT_FALSE(all.contains(ip("192.0.2.7")));
  EXPECT_FALSE(all.contains(ip("::ffff:192.0.2.7")));
  EXPECT_TRUE(around.contains(ip("::fffe:0:1")));
  EXPECT_FALSE(around.contains(ip("192.0.2.7")));
  EXPECT_FALSE(networks({"0.0.0.0/0"}).contains(ip("2001:db8::1")));
}

TEST(NetworkSet, JoinsNetworksThatOverlapOrAreGivenTwice) {
  const NetworkSet set =
      networks({"10.1.0.0/16", "10.0.0.0/8", "10.2.0.0/16", "10.2.0.0/16", "192.0.2.1"});

  EXPECT_TRUE(set.contains(ip("10.200.0.1")));
  EXPECT_TRUE(set.contains(ip("10.2.3.4")));
  EXPECT_TRUE(set.contains(ip("192.0.2.1")));
  EXPECT_FALSE(set.contains(ip("11.0.0.1")));
}

TEST(NetworkSet, SaysWhatANetworkWithHostBitsMayHaveMeant) {
  EXPECT_EQ(complaint("10.0.0.1/8"),
            "'10.0.0.1/8' has bits set behind its prefix: the network is 10.0.0.0/8, the address "
            "alone 10.0.0.1");
  EXPECT_NE(complaint("2001:db8::1/64").find("is 2001:db8::/64,"), std::string::npos);
  EXPECT_NE(complaint("::ffff:10.0.0.1/104").find("is 10.0.0.0/8,"), std::string::npos);
  EXPECT_NE(complaint("::ffff:10.0.0.0/90").find("is ::ffc0:0:0/90,"), std::string::npos);
}

TEST(NetworkSet, HoldsNoAddressThatIsNone) {
  EXPECT_FALSE(networks({"0.0.0.0/0", "::/0"}).contains(std::nullopt));
}

TEST(ClearHostBits, LeavesTheNetwork) {
  EXPECT_EQ(clear_host_bits("10.0.0.1/8").value(), "10.0.0.0/8");
  EXPECT_EQ(clear_host_bits("10.0.0.0/8").value(), "10.0.0.0/8");
  EXPECT_EQ(clear_host_bits("192.0.2.7").value(), "192.0.2.7/32");
  EXPECT_EQ(clear_host_bits("0.0.0.0/0").value(), "0.0.0.0/0");
  EXPECT_EQ(clear_host_bits("2001:DB8::1/64").value(), "2001:db8::/64");
  EXPECT_EQ(clear_host_bits("::ffff:10.0.0.1/104").value(), "10.0.0.0/8");
  EXPECT_FALSE(clear_host_bits("10.0.0.1/33"));
  EXPECT_FALSE(clear_host_bits("somewhere"));
}

TEST(ParseIp, TakesAddressesAlone) {
  EXPECT_EQ(parse_ip("192.0.2.7"), parse_ip("::ffff:192.0.2.7"));
  for (const char* text : {"", "192.0.2", "192.0.2.7:80", "[::1]", "fe80::1%eth0", "localhost"}) {
    EXPECT_FALSE(parse_ip(text)) << text;
  }
  EXPECT_FALSE(parse_ip(std::string("192.0.2.7\0", 10)));
  EXPECT_FALSE(parse_ip(std::string(1000, '1')));
}

TEST(NetworkSet, RefusesWhatIsNoNetwork) {
  for (const char* text : {"",
                           "/",
                           "/8",
                           "10.0.0.0/",
                           "10.0.0.0/33",
                           "10.0.0.0/-1",
                           "10.0.0.0/+8",
                           "10.0.0.0/08",
                           "10.0.0.0/8 ",
                           " 10.0.0.0/8",
                           "10.0.0.0/8/8",
                           "10.0.0/8",
                           "10/8",
                           "010.0.0.0/8",
                           "10.0.0.0/255.0.0.0",
                           "2001:db8::/129",
                           "[2001:db8::]/32",
                           "fe80::1%eth0",
                           "all",
                           "10.0.0.0/99999999999"}) {
    EXPECT_NE(complaint(text), "") << text;
  }
}

}  // namespace
}  // namespace handfast
