#include "controller/translate/tls_values.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::translate {
namespace {

using config::TlsVersion;

constexpr NameVariables kVariables{.service_name = "api", .ns = "shop", .service_port = "443"};

TEST(ParseOnOff, TakesNothingElse) {
  EXPECT_EQ(parse_on_off("on"), true);
  EXPECT_EQ(parse_on_off("off"), false);
  for (const char* bad : {"", "On", "true", "yes", "1", "on "}) {
    EXPECT_FALSE(parse_on_off(bad).has_value()) << bad;
  }
}

TEST(ParseDepth, TakesOneToAHundred) {
  EXPECT_EQ(parse_depth("1"), 1);
  EXPECT_EQ(parse_depth("100"), 100);
  for (const char* bad : {"", "0", "101", "-1", "+1", "1.0", "two", "99999999999999999999"}) {
    EXPECT_FALSE(parse_depth(bad).has_value()) << bad;
  }
}

TEST(ParseVersions, SortsAndTakesEachOnce) {
  EXPECT_EQ(parse_versions("TLSv1.3 TLSv1.2  TLSv1.3"),
            (std::vector{TlsVersion::Tls12, TlsVersion::Tls13}));
  EXPECT_EQ(parse_versions("TLSv1.3"), std::vector{TlsVersion::Tls13});
  for (const char* bad : {"", " ", "TLSv1", "TLSv1.1 TLSv1.2", "tlsv1.2", "TLSv1.2,TLSv1.3"}) {
    EXPECT_FALSE(parse_versions(bad).has_value()) << bad;
  }
}

TEST(ParseCiphers, TakesListsThatProtect) {
  for (const char* good : {"DEFAULT", "HIGH:!aNULL:!eNULL:!MD5", "ECDHE+AESGCM:-SHA1:+AES256",
                           "ECDHE-RSA-AES256-GCM-SHA384", "EECDH:!DES:!RC4"}) {
    EXPECT_TRUE(parse_ciphers(good).has_value()) << good;
  }
}

TEST(ParseCiphers, TakesWhatOnlyBackendsSpeak) {
  for (const char* good : {"DHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-CCM8",
                           "CAMELLIA256-SHA256:!kDHE", "EDH+AESGCM", "AES128-SHA"}) {
    EXPECT_TRUE(parse_ciphers(good).has_value()) << good;
  }
}

TEST(ParseCiphers, RefusesNamesThatNobodyKnowsWhateverElseThereIs) {
  for (const char* bad :
       {"ECDHE-RSA-AES256-GCM-SHA348:ECDHE-RSA-AES256-GCM-SHA384", "HIGH:FOO", "HIGH:!aNULLL",
        "HIGH:+FOO", "ECDHE+FOO:HIGH", "TLS_AES_128_GCM_SHA256:HIGH", "HIGH:PSK", "HIGH:SRP",
        "HIGH+:AES", "high"}) {
    EXPECT_FALSE(parse_ciphers(bad).has_value()) << bad;
  }
}

TEST(ParseCiphers, RefusesBrokenOnesAndListsThatAddNothing) {
  for (const char* bad :
       {"", ":", "!RC4", "-ALL", "+AES", "HIGH:aNULL", "NULL-SHA256", "RC4-SHA", "DES-CBC3-SHA",
        "ECDHE+eNULL", "EXP-RC4-MD5", "COMPLEMENTOFALL", "HIGH:@SECLEVEL=0", "HIGH LOW", "A,B"}) {
    EXPECT_FALSE(parse_ciphers(bad).has_value()) << bad;
  }
  EXPECT_FALSE(parse_ciphers(std::string(1U << 20U, 'A')).has_value());
}

TEST(ExpandName, FillsInWhatNoClientControls) {
  EXPECT_EQ(expand_name("$service_name.$namespace.svc", kVariables), "api.shop.svc");
  EXPECT_EQ(expand_name("p${service_port}.Example.", kVariables), "p443.example");
  EXPECT_EQ(expand_name("10.0.0.1", kVariables), "10.0.0.1");
  EXPECT_EQ(expand_name("fd00::1", kVariables), "fd00::1");
}

TEST(ExpandName, RefusesEverythingElse) {
  for (const char* bad :
       {"", "$host", "$http_x", "a$", "${service_name", "$service_namex", "a b", "*.shop.svc",
        "a..b", "a/b", "-a", "http://a", "127.1", "127.0.0.01", "1.2.3", "api.443", "[::1]"}) {
    EXPECT_FALSE(expand_name(bad, kVariables).has_value()) << bad;
  }
}

}  // namespace
}  // namespace handfast::translate
