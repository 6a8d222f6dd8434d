#include "proxy/pki/names.h"

#include <gtest/gtest.h>

#include "proxy/pki/identity.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::TestAuthority;
using testing::TestCertificate;

class Names : public ::testing::Test {
 protected:
  TestCertificate with(std::vector<std::string> sans) const {
    return root_.issue("cn.shop.svc", {.sans = std::move(sans)});
  }
  bool proves(const std::string& san, std::string_view name) const {
    return proves_name(*with({san}).x509(), name);
  }

  TestAuthority root_{"root"};
};

TEST_F(Names, MatchesDnsNamesWithoutRegardToAsciiCase) {
  EXPECT_TRUE(proves("DNS:orders.shop.svc", "orders.shop.svc"));
  EXPECT_TRUE(proves("DNS:Orders.SHOP.svc", "orders.shop.SVC"));
  EXPECT_FALSE(proves("DNS:orders.shop.svc", "billing.shop.svc"));
  EXPECT_FALSE(proves("DNS:orders.shop.svc", "orders.shop.svc.evil.test"));
  EXPECT_FALSE(proves("DNS:orders.shop.svc", "orders.shop.svc."));
  EXPECT_FALSE(proves("DNS:orders.shop.svc.", "orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:xn--bcher-kva.svc.test",
                      "b\xc3\xbc"
                      "cher.svc.test"));
}

TEST_F(Names, TakesAWildcardForExactlyOneWholeLabelAboveTwo) {
  EXPECT_TRUE(proves("DNS:*.shop.svc", "orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:*.shop.svc", "a.orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:*.shop.svc", "shop.svc"));
  EXPECT_FALSE(proves("DNS:*.svc", "orders.svc"));
  EXPECT_FALSE(proves("DNS:*", "orders"));
  EXPECT_FALSE(proves("DNS:o*.shop.svc", "orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:*s.shop.svc", "orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:orders.*.svc", "orders.shop.svc"));
  EXPECT_FALSE(proves("DNS:*.*.svc", "orders.shop.svc"));
}

TEST_F(Names, NeverLooksAtTheCommonName) {
  const auto bare = root_.issue("cn.shop.svc", {.without_sans = true});

  EXPECT_FALSE(proves_name(*bare.x509(), "cn.shop.svc"));
  EXPECT_FALSE(proves("email:a@shop.svc", "cn.shop.svc"));
}

TEST_F(Names, ProvesAnAddressByAnAddressEntryOnly) {
  EXPECT_TRUE(proves("IP:10.0.0.1", "10.0.0.1"));
  EXPECT_TRUE(proves("IP:fd00::1", "fd00:0::1"));
  EXPECT_FALSE(proves("IP:10.0.0.1", "10.0.0.2"));
  EXPECT_FALSE(proves("DNS:10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(proves("DNS:fd00::1", "fd00::1"));
  EXPECT_FALSE(proves("URI:10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(proves("DNS:*.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(proves("DNS:010.0.0.1", "010.0.0.1"));
}

TEST_F(Names, MatchesAUriByteForByte) {
  EXPECT_TRUE(proves("URI:spiffe://shop/ns/a/sa/b", "spiffe://shop/ns/a/sa/b"));
  EXPECT_FALSE(proves("URI:spiffe://shop/ns/a/sa/b", "spiffe://shop/ns/a/sa/B"));
  EXPECT_FALSE(proves("URI:spiffe://shop/ns/a/sa/b", "spiffe://shop/ns/a/sa/b/c"));
  EXPECT_FALSE(proves("URI:spiffe://shop/ns/a/sa/b/c", "spiffe://shop/ns/a/sa/b"));
  EXPECT_FALSE(proves("DNS:spiffe://shop", "spiffe://shop"));
}

TEST_F(Names, TakesAnySvidOfATrustDomain) {
  EXPECT_EQ(name_kind("spiffe://shop.example/*"), NameKind::TrustDomain);
  EXPECT_TRUE(proves("URI:spiffe://shop.example/ns/a/sa/b", "spiffe://shop.example/*"));
  EXPECT_TRUE(proves("URI:spiffe://shop.example/a", "spiffe://shop.example/*"));
  EXPECT_TRUE(proves_name(*with({"DNS:a.svc", "URI:spiffe://shop.example/a"}).x509(),
                          "spiffe://shop.example/*"));
  for (const char* uri :
       {"spiffe://shop.example", "spiffe://shop.example/", "spiffe://shop.example//a",
        "spiffe://shop.example/a/", "spiffe://shop.example/../a", "spiffe://shop.example/a/.",
        "spiffe://shop.example.evil/a", "spiffe://Shop.example/a", "SPIFFE://shop.example/a",
        "spiffe://shop.example/a?b", "spiffe://shop.example/a#b", "spiffe://shop.example/%61",
        "spiffe://shop.example/*", "spiffe://shop.example:443/a", "spiffe://u@shop.example/a",
        "https://shop.example/a"}) {
    EXPECT_FALSE(proves(std::string("URI:") + uri, "spiffe://shop.example/*")) << uri;
  }
  EXPECT_FALSE(proves("DNS:spiffe://shop.example/a", "spiffe://shop.example/*"));
  EXPECT_FALSE(
      proves("URI:spiffe://shop.example/" + std::string(2048, 'a'), "spiffe://shop.example/*"));
}

// X.509-SVID section 5.2: with two URIs nobody knows which one it is.
TEST_F(Names, ACertificateWithTwoUrisIsNoSvid) {
  const auto leaf = with({"URI:spiffe://shop.example/a", "URI:spiffe://shop.example/b"});

  EXPECT_FALSE(proves_name(*leaf.x509(), "spiffe://shop.example/*"));
  EXPECT_TRUE(proves_name(*leaf.x509(), "spiffe://shop.example/a"));
}

TEST_F(Names, AStarElsewhereInASpiffeIdIsUnusable) {
  for (const char* name :
       {"spiffe://shop.example/ns/*", "spiffe://*/a", "spiffe://*", "spiffe:///*",
        "spiffe://Shop/*", "spiffe://shop/*/*", "spiffe://a/b/*"}) {
    EXPECT_EQ(name_kind(name), NameKind::Unusable) << name;
    EXPECT_FALSE(proves(std::string("URI:") + name, name)) << name;
  }
}

TEST_F(Names, IsNotFooledByANulByte) {
  using namespace std::string_literals;

  EXPECT_FALSE(proves("DNS:orders.shop.svc\0.evil.test"s, "orders.shop.svc"));
  EXPECT_FALSE(proves("URI:spiffe://a/b\0c"s, "spiffe://a/b"));
  EXPECT_FALSE(proves("DNS:orders.shop.svc", "orders.shop.svc\0.x"s));
  EXPECT_FALSE(proves("IP:10.0.0.1", "10.0.0.1\0.x"s));
}

TEST_F(Names, ProvesNothingForANameThatCanNotBeExpected) {
  const auto leaf = with({"DNS:a.shop.svc", "DNS:*.shop.svc", "DNS:shop.svc"});

  for (const char* name : {"", ".", ".shop.svc", "*.shop.svc", "*", "a.shop.svc/", " a.shop.svc",
                           "a.shop.svc:443", "://", "[::1]"}) {
    EXPECT_EQ(name_kind(name) == NameKind::Unusable, true) << name;
    EXPECT_FALSE(proves_name(*leaf.x509(), name)) << name;
  }
}

TEST_F(Names, ListsNamesInPrintableForm) {
  using namespace std::string_literals;
  const auto leaf =
      with({"DNS:a.svc", "IP:10.0.0.1", "IP:fd00::1", "URI:spiffe://a/b", "DNS:x\0\n\x1b"s});

  EXPECT_EQ(subject_alt_names(*leaf.x509()),
            (std::vector<std::string>{"DNS:a.svc", "IP:10.0.0.1", "IP:fd00::1", "URI:spiffe://a/b",
                                      "DNS:x\\x00\\x0a\\x1b"}));
}

TEST_F(Names, CoversAHostByDnsAndAddressButNotByUri) {
  const auto leaf = with({"DNS:*.shop.example", "IP:10.0.0.1", "URI:https://shop.example"});

  EXPECT_TRUE(covers_host(*leaf.x509(), "www.shop.example"));
  EXPECT_TRUE(covers_host(*leaf.x509(), "10.0.0.1"));
  EXPECT_FALSE(covers_host(*leaf.x509(), "https://shop.example"));
  EXPECT_FALSE(covers_host(*leaf.x509(), "shop.example"));
}

}  // namespace
}  // namespace handfast::pki
