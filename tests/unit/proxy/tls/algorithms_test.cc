#include "proxy/tls/algorithms.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

namespace handfast::tls {
namespace {

TEST(CheckCipherList, TakesListsOfSuitesThatWeMayUse) {
  EXPECT_TRUE(check_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256"));
  EXPECT_TRUE(check_cipher_list("HIGH:!aNULL:!MD5"));
  EXPECT_TRUE(check_cipher_list("DEFAULT:@STRENGTH"));
}

TEST(CheckCipherList, RefusesListsOfWhichNothingIsLeft) {
  for (const char* list : {"nonsense", "", "aNULL", "eNULL", "NULL-SHA256", "ADH", "EXP"}) {
    EXPECT_FALSE(check_cipher_list(list)) << list;
  }
}

TEST(CheckCipherList, RefusesToLetAListLowerTheSecurityLevel) {
  for (const char* list :
       {"ALL:@SECLEVEL=0", "HIGH:@SECLEVEL=1", "@SECLEVEL=0:ADH-AES256-GCM-SHA384"}) {
    EXPECT_FALSE(check_cipher_list(list)) << list;
  }
}

TEST(CheckCipherSuites, TakesSuitesThatAreKnown) {
  EXPECT_TRUE(check_cipher_suites("TLS_AES_128_GCM_SHA256"));
  EXPECT_TRUE(check_cipher_suites("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"));
}

// OpenSSL itself would skip them.
TEST(CheckCipherSuites, RefusesEachNameThatIsNotKnown) {
  for (const char* list : {"", "nonsense", "TLS_AES_128_GCM_SHA256:nonsense",
                           "TLS_AES_128_GCM_SHA256:", ":TLS_AES_128_GCM_SHA256",
                           "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384", "HIGH", "DEFAULT",
                           "ECDHE-ECDSA-AES128-GCM-SHA256", "@SECLEVEL=0"}) {
    EXPECT_FALSE(check_cipher_suites(list)) << list;
  }
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(CheckGroups, TakesGroupsThatAreKnownAndStrong) {
  for (const char* list : {"X25519", "X25519:P-256:P-384", "prime256v1", "secp384r1:ffdhe3072"}) {
    EXPECT_TRUE(check_groups(list)) << list;
  }
}

TEST(CheckGroups, RefusesEachNameThatIsNot) {
  for (const char* list :
       {"", "nonsense", "X25519:nonsense", "X25519:", "?X25519", "*X25519", "X25519/P-256",
        "DEFAULT", "P-192", "secp192r1", "sect163k1", "X25519:X25519", "X25519 P-256"}) {
    EXPECT_FALSE(check_groups(list)) << list;
  }
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(CheckGroups, RefusesAGroupUnderTwoOfItsNames) {
  for (const char* list : {"P-256:secp256r1", "secp256r1:X25519:prime256v1", "secp384r1:P-384",
                           "P-521:P-256:secp521r1"}) {
    const Status checked = check_groups(list);
    ASSERT_FALSE(checked) << list;
    EXPECT_TRUE(checked.error().detail.ends_with("stands twice")) << checked.error();
  }
}

}  // namespace
}  // namespace handfast::tls
