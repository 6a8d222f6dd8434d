#include <gtest/gtest.h>

#include "tests/unit/proxy/tls/tls_peer.h"

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

class UpstreamPolicyTest : public ::testing::Test {
 protected:
  testing::TestAuthority root_{"root"};
  std::shared_ptr<UpstreamPolicy> policy_ = testing::make_policy(root_, {"orders.shop.svc"});
};

TEST_F(UpstreamPolicyTest, IsUsableWithoutAnIdentity) {
  EXPECT_TRUE(policy_->usable(testing::kYear2026));
}

TEST_F(UpstreamPolicyTest, IsNotUsableOnceRefused) {
  policy_->refused = Error{Reason::CaMissing, "Secret/shop/ca has no ca.crt"};

  EXPECT_EQ(policy_->usable(testing::kYear2026).error().reason, Reason::CaMissing);
}

TEST_F(UpstreamPolicyTest, IsUsableOnlyWithinTheTimeOfItsIdentity) {
  policy_->identity = testing::load_identity(root_.issue(
      "client", {.not_before = testing::kYear2026, .not_after = testing::kYear2026 + 100}));

  EXPECT_EQ(policy_->usable(testing::kYear2026 - 1).error().reason,
            Reason::ClientCertificateNotYetValid);
  EXPECT_TRUE(policy_->usable(testing::kYear2026 + 100));
  EXPECT_EQ(policy_->usable(testing::kYear2026 + 101).error().reason,
            Reason::ClientCertificateExpired);
}

TEST(DefaultCertificate, IsMadeFreshEachTimeAndCanBePresented) {
  const auto one = make_default_certificate();
  const auto two = make_default_certificate();

  ASSERT_TRUE(one && two);
  EXPECT_NE((*one)->info().serial, (*two)->info().serial);
  EXPECT_EQ((*one)->info().sans, std::vector<std::string>{"DNS:ingress.local"});
}

}  // namespace
}  // namespace handfast::tls
