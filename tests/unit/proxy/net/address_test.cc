#include "proxy/net/address.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <array>

namespace handfast::net {
namespace {

TEST(Address, ReadsAddressAndPortOfBothFamilies) {
  const auto v4 = Address::parse("192.0.2.7:8443");
  const auto v6 = Address::parse("[2001:db8::1]:80");

  ASSERT_TRUE(v4 && v6);
  EXPECT_EQ(v4->to_string(), "192.0.2.7:8443");
  EXPECT_EQ(v4->family(), AF_INET);
  EXPECT_EQ(v6->to_string(), "[2001:db8::1]:80");
  EXPECT_EQ(v6->ip(), "2001:db8::1");
  EXPECT_EQ(v6->port(), 80);
}

TEST(Address, RefusesWhatIsNoAddressWithAPort) {
  for (const char* text :
       {"", ":", "8080", "192.0.2.7", "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:65536",
        "192.0.2.7:-1", "192.0.2.7:+1", "192.0.2.7: 1", "192.0.2.7:80 ", "192.0.2:80",
        "localhost:80", "[2001:db8::1]", "[2001:db8::1:80", "[]:80", "192.0.2.256:80"}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
}

// "2001:db8::1:80" is an address of its own: which part is the port, nobody can say.
TEST(Address, RefusesAnIpv6AddressWithoutBrackets) {
  EXPECT_FALSE(Address::parse("2001:db8::1:80"));
  EXPECT_FALSE(Address::parse("::1:80"));
}

TEST(Address, RefusesBytesBehindANul) {
  EXPECT_FALSE(Address::from_ip(std::string_view("127.0.0.1\0x", 11), 80));
}

TEST(Address, KnowsWhatANameFromOutsideMustNotLeadTo) {
  for (const char* local :
       {"127.0.0.1", "127.255.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
        "fd00:c1::a9fe:a9fe"}) {
    EXPECT_TRUE(Address::from_ip(local, 80)->is_local_only()) << local;
  }
  for (const char* remote : {"192.0.2.7", "10.0.0.1", "128.0.0.1", "2001:db8::1",
                             "::ffff:192.0.2.7", "fd00:ec2::253", "100.100.100.201"}) {
    EXPECT_FALSE(Address::from_ip(remote, 80)->is_local_only()) << remote;
  }
}

TEST(Address, ComparesIpAndPort) {
  const Address a = *Address::from_ip("192.0.2.7", 80);

  EXPECT_EQ(a, *Address::from_ip("192.0.2.7", 80));
  EXPECT_FALSE(a == *Address::from_ip("192.0.2.7", 81));
  EXPECT_FALSE(a == *Address::from_ip("192.0.2.8", 80));
}

TEST(Address, TheLongestTextFits) {
  const Address v6 = *Address::from_ip("2001:0db8:1111:2222:3333:4444:5555:6666", 65535);
  const Address v4 = *Address::from_ip("255.255.255.255", 65535);
  std::array<char, Address::kMaxText> space;

  EXPECT_EQ(v6.write(space), "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
  EXPECT_EQ(v4.write(space), "255.255.255.255:65535");
  EXPECT_EQ(Address::from_ip("::ffff:192.0.2.7", 1)->to_string(), "192.0.2.7:1");
}

TEST(Address, OfAnotherFamilyIsLocal) {
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  const auto address =
      Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&path), sizeof path);

  EXPECT_EQ(address.to_string(), "local:0");
  EXPECT_EQ(address.port(), 0);
  EXPECT_EQ(address, address);
}

TEST(Address, AMappedAddressReadsAsIpv4) {
  EXPECT_EQ(Address::from_ip("::ffff:192.0.2.7", 80)->ip(), "192.0.2.7");
}

}  // namespace
}  // namespace handfast::net
