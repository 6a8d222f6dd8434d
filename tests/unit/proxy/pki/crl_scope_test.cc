// RFC 5280 6.3.3: which certificates a list with an issuing distribution point speaks about.

#include <gtest/gtest.h>

#include "proxy/pki/trust.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::kYear2026;
using testing::TestAuthority;
using testing::TestCertificate;
using Answer = CrlSet::Answer;

class CrlScopeTest : public ::testing::Test {
 protected:
  // A list that lists nobody, or `revoked`, and has `point` as its issuing distribution point.
  Answer ask(const std::string& point, const TestCertificate& certificate,
             const TestAuthority::Revoked& revoked = {}) const {
    const auto set = CrlSet::load(root_.crl_pem(
        revoked, {.extensions = {{"issuingDistributionPoint", "critical," + point}}}));
    EXPECT_TRUE(set.has_value()) << set.error();
    return (*set)->check(*certificate.x509(), *root_.certificate().x509(), kYear2026);
  }

  TestCertificate referring_to(const std::string& points) const {
    return root_.issue("a.svc", {.extensions = {{"crlDistributionPoints", points}}});
  }

  TestAuthority root_{"root"};
  TestCertificate leaf_ = root_.issue("a.svc");
  TestAuthority issuing_ = root_.intermediate("issuing");
};

TEST_F(CrlScopeTest, AListForUsersOrAuthoritiesCoversOnlyThose) {
  EXPECT_EQ(ask("onlyuser:TRUE", leaf_), Answer::Good);
  EXPECT_EQ(ask("onlyuser:TRUE", issuing_.certificate()), Answer::NotCovered);
  EXPECT_EQ(ask("onlyCA:TRUE", leaf_), Answer::NotCovered);
  EXPECT_EQ(ask("onlyCA:TRUE", issuing_.certificate()), Answer::Good);
  EXPECT_EQ(ask("onlyAA:TRUE", leaf_), Answer::NotCovered);
}

TEST_F(CrlScopeTest, AListOfADistributionPointCoversCertificatesThatReferToIt) {
  const auto to_a = referring_to("URI:http://crl.test/a");
  const auto to_b = referring_to("URI:http://crl.test/b");
  const auto to_both = referring_to("URI:http://crl.test/b,URI:http://crl.test/a");

  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", to_a), Answer::Good);
  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", to_a, {&to_a}), Answer::Revoked);
  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", to_b), Answer::NotCovered);
  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", to_both), Answer::Good);
  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", leaf_), Answer::NotCovered);
}

TEST_F(CrlScopeTest, AListWithoutADistributionPointCoversWhoeverRefersToOne) {
  EXPECT_EQ(ask("onlyuser:TRUE", referring_to("URI:http://crl.test/a")), Answer::Good);
}

TEST_F(CrlScopeTest, AListForSomeReasonsCanCondemnButNotVouch) {
  EXPECT_EQ(ask("onlysomereasons:keyCompromise", leaf_), Answer::NotCovered);
  EXPECT_EQ(ask("onlysomereasons:keyCompromise", leaf_, {&leaf_}), Answer::Revoked);
}

TEST_F(CrlScopeTest, AReferenceForSomeReasonsCanCondemnButNotVouch) {
  // DistributionPoint { fullName "http://crl.test/a", reasons keyCompromise }
  const auto partial = root_.issue(
      "a.svc", {.extensions = {{"crlDistributionPoints",
                                "DER:301D301BA015A0138611687474703A2F2F63726C2E746573742F61"
                                "81020640"}}});

  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", partial), Answer::NotCovered);
  EXPECT_EQ(ask("fullname:URI:http://crl.test/a", partial, {&partial}), Answer::Revoked);
}

}  // namespace
}  // namespace handfast::pki
