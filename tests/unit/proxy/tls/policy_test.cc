#include <gtest/gtest.h>

#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::tls {
namespace {

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
