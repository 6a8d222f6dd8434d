#include "controller/objects/names.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::objects {
namespace {

TEST(Names, LabelsAreLowerCaseAndAtMost63) {
  EXPECT_TRUE(is_dns_label("a"));
  EXPECT_TRUE(is_dns_label("0-shop-1"));
  EXPECT_TRUE(is_dns_label(std::string(63, 'a')));
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
  for (const char* bad : {"", "-a", "a-", "A", "a.b", "a_b", "a/b", "a b", "\xc3\xa4", ".."}) {
    EXPECT_FALSE(is_dns_label(bad)) << bad;
  }
}

TEST(Names, SubdomainsAreLabelsWithDotsBetweenAndAtMost253) {
  EXPECT_TRUE(is_dns_subdomain("shop.example.com"));
  EXPECT_TRUE(is_dns_subdomain(std::string(253, 'a')));
  EXPECT_FALSE(is_dns_subdomain(std::string(254, 'a')));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a.-b", "*.a", "a:80", "A.b", "../a"}) {
    EXPECT_FALSE(is_dns_subdomain(bad)) << bad;
  }
}

TEST(Names, AWildcardStandsOnlyInFrontAndAlone) {
  EXPECT_TRUE(is_wildcard_subdomain("*.example.com"));
  for (const char* bad : {"*", "*.", "*a.com", "a.*.com", "*.*.com", "example.com"}) {
    EXPECT_FALSE(is_wildcard_subdomain(bad)) << bad;
  }
}

TEST(Names, PortNamesHoldALetterAndAtMost15Characters) {
  EXPECT_TRUE(is_port_name("http"));
  EXPECT_TRUE(is_port_name("8080-tcp"));
  for (const char* bad : {"", "8080", "a--b", "-a", "a-", "HTTP", "a234567890123456"}) {
    EXPECT_FALSE(is_port_name(bad)) << bad;
  }
}

TEST(Names, QualifiedNamesMayHaveAPrefixInAnyCase) {
  EXPECT_TRUE(is_qualified_name("nginx.ingress.kubernetes.io/proxy-ssl-verify"));
  EXPECT_TRUE(is_qualified_name("Example.com/My_Name"));
  EXPECT_TRUE(is_qualified_name("a"));
  for (const char* bad : {"", "/", "a/", "/a", "a/b/c", "a b", "-a", "_/a"}) {
    EXPECT_FALSE(is_qualified_name(bad)) << bad;
  }
}

TEST(Names, DataKeysNeverLeaveTheirDirectory) {
  EXPECT_TRUE(is_data_key("tls.crt"));
  EXPECT_TRUE(is_data_key(".hidden"));
  for (const char* bad : {"", ".", "..", "..data", "a/b", "a b"}) {
    EXPECT_FALSE(is_data_key(bad)) << bad;
  }
}

TEST(Names, AddressesAreWholeAndOfTheirFamily) {
  EXPECT_TRUE(is_ipv4("10.0.0.1"));
  EXPECT_TRUE(is_ipv6("fd00::1"));
  EXPECT_FALSE(is_ipv4("10.0.0"));
  EXPECT_FALSE(is_ipv4("10.0.0.256"));
  EXPECT_FALSE(is_ipv4("fd00::1"));
  EXPECT_FALSE(is_ipv6("10.0.0.1"));
  EXPECT_FALSE(is_ipv6("fe80::1%eth0"));
  EXPECT_FALSE(is_ipv4(std::string_view("10.0.0.1\0x", 10)));
}

}  // namespace
}  // namespace handfast::objects
