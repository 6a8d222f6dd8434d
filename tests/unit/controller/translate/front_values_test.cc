#include "controller/translate/front_values.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace handfast::translate {
namespace {

constexpr const char* kOfNginx =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384";

TEST(FrontCiphers, TakeOutWhatHasNoEffect) {
  const auto ciphers = parse_front_ciphers(kOfNginx);
  ASSERT_TRUE(ciphers.has_value()) << ciphers.error();

  EXPECT_EQ(ciphers->list, std::string(kOfNginx).substr(0, ciphers->list.size()));
  EXPECT_TRUE(ciphers->list.ends_with("ECDHE-RSA-CHACHA20-POLY1305"));
  EXPECT_EQ(ciphers->without_effect,
            (std::vector<std::string>{"DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384"}));
}

TEST(FrontCiphers, TakeTheWordsOfOpenssl) {
  for (const char* list : {"HIGH:!aNULL:!MD5", "EECDH+AESGCM:EDH-DSS-DES-CBC3-SHA:!RC4",
                           "ECDHE+AESGCM:!PSK:+SHA256", "ECDHE-RSA-AES128-GCM-SHA256"}) {
    const bool good = std::string_view(list).find("EDH-DSS") == std::string_view::npos;
    EXPECT_EQ(parse_front_ciphers(list).has_value(), good) << list;
  }
}

TEST(FrontCiphers, AreNoneWithANameThatNobodyKnows) {
  for (const char* list :
       {"ECDHE-RSA-AES128-GCM-SHA265", "ECDHE-RSA-AES128-GCM-SHA256:FOO", "HIGH:!aNULLL", "RC4",
        "HIGH:@SECLEVEL=0", "DHE-RSA-AES128-GCM-SHA256", "", ":", "!aNULL", "HIGH+aNULL",
        "HIGH:aNULL", "ECDHE-RSA-AES128-GCM-SHA256 HIGH"}) {
    const auto ciphers = parse_front_ciphers(list);
    ASSERT_FALSE(ciphers.has_value()) << list;
    EXPECT_EQ(ciphers.error().reason, Reason::InvalidValue);
  }
}

TEST(FrontCiphers, AreNoneIfTheyAreTooMany) {
  std::string list = "ECDHE-RSA-AES128-GCM-SHA256";
  for (int i = 0; i < 1000; ++i) list += ":TLS_NOTHING";

  EXPECT_FALSE(parse_front_ciphers(list).has_value());
}

TEST(FrontCiphers, AreEachKnownToOpenssl) {
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_set_security_level(context.get(), 2);
  for (const char* name :
       {"AES128-GCM-SHA256", "AES128-SHA", "AES256-SHA256", "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"}) {
    EXPECT_TRUE(parse_front_ciphers(name).has_value()) << name;
    EXPECT_EQ(SSL_CTX_set_cipher_list(context.get(), name), 1) << name;
  }
}

TEST(FrontGroups, AreAutoOrKnownNames) {
  EXPECT_EQ(parse_front_groups("auto"), "");
  EXPECT_EQ(parse_front_groups("X25519:prime256v1:secp384r1"), "X25519:prime256v1:secp384r1");
  for (const char* list :
       {"", "secp192r1", "X25519:", "X25519:auto", "X25519 P-256", "sect571r1"}) {
    EXPECT_FALSE(parse_front_groups(list).has_value()) << list;
  }
}

// As the proxy judges them.
TEST(FrontGroups, StandOnceUnderWhicheverOfTheirNames) {
  for (const char* list : {"X25519:X25519", "P-256:secp256r1", "secp256r1:X25519:prime256v1",
                           "secp384r1:P-384", "P-521:P-256:secp521r1"}) {
    EXPECT_FALSE(parse_front_groups(list).has_value()) << list;
  }
  EXPECT_EQ(parse_front_groups("P-256:secp256r1").error().detail,
            "\"secp256r1\" and \"P-256\" are the same group.");
  EXPECT_TRUE(parse_front_groups("P-256:secp384r1:P-521:X25519:X448").has_value());
}

}  // namespace
}  // namespace handfast::translate
