#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>

#include "proxy/pki/identity.h"
#include "proxy/pki/verify.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::kDay;
using testing::kYear2026;
using testing::TestAuthority;
using testing::TestCertificate;

class VerifyRevocation : public ::testing::Test {
 protected:
  Verdict judge(const std::string& anchors, const std::vector<std::string>& lists,
                CrlScope scope = CrlScope::Chain, UnixSeconds now = kYear2026) const {
    return judge(leaf_, anchors, lists, scope, now);
  }

  static Verdict judge(const TestCertificate& leaf, const std::string& anchors,
                       const std::vector<std::string>& lists, CrlScope scope, UnixSeconds now) {
    const auto chain = load_chain(leaf.chain_pem());
    const auto trust = CaBundle::load(anchors, testing::kYear2020);
    EXPECT_TRUE(chain.has_value() && trust.has_value());
    std::vector<std::shared_ptr<const CrlSet>> sets;
    for (const std::string& list : lists) {
      const auto set = CrlSet::load(list);
      EXPECT_TRUE(set.has_value()) << set.error();
      sets.push_back(*set);
    }
    VerifyRules rules;
    rules.names = {"a.svc.test"};
    rules.crl_scope = scope;
    return verify_chain(chain->leaf.get(), chain->intermediates.get(), {*trust}, sets, rules, now);
  }

  TestAuthority root_{"root"};
  TestAuthority issuing_ = root_.intermediate("issuing");
  TestCertificate leaf_ = issuing_.issue("a.svc.test");
};

TEST_F(VerifyRevocation, AcceptsAChainWhoseEveryIssuerVouches) {
  const Verdict verdict =
      judge(root_.cert_pem(), {root_.crl_pem({}, {.next_update = kYear2026 + 7 * kDay}),
                               issuing_.crl_pem({}, {.next_update = kYear2026 + kDay})});

  EXPECT_TRUE(verdict.ok()) << verdict.detail;
  EXPECT_EQ(verdict.valid_until, kYear2026 + kDay);
}

TEST_F(VerifyRevocation, RefusesARevokedLeafAndSaysWhich) {
  const Verdict verdict =
      judge(root_.cert_pem(), {root_.crl_pem() + issuing_.crl_pem({&leaf_}, {.reason = 1})});

  EXPECT_EQ(verdict.reason, Reason::Revoked);
  EXPECT_EQ(verdict.openssl_error, X509_V_ERR_CERT_REVOKED);
  EXPECT_NE(verdict.detail.find(leaf_.serial()), std::string::npos) << verdict.detail;
  EXPECT_NE(verdict.detail.find("keyCompromise"), std::string::npos) << verdict.detail;
}

TEST_F(VerifyRevocation, RefusesARevokedIntermediateUnlessOnlyTheLeafIsJudged) {
  const std::vector<std::string> lists{root_.crl_pem({&issuing_.certificate()}),
                                       issuing_.crl_pem()};

  EXPECT_EQ(judge(root_.cert_pem(), lists).reason, Reason::Revoked);
  EXPECT_EQ(judge(root_.cert_pem(), lists, CrlScope::Leaf).reason, Reason::Ok);
  EXPECT_EQ(judge(root_.cert_pem(), lists, CrlScope::Off).reason, Reason::Ok);
}

TEST_F(VerifyRevocation, RefusesWhomAListNamesThoughNoneMustCover) {
  const auto listed = [&](const std::vector<std::string>& lists) {
    return judge(root_.cert_pem(), lists, CrlScope::Listed);
  };
  EXPECT_TRUE(listed({}).ok());
  EXPECT_TRUE(listed({root_.crl_pem()}).ok());
  EXPECT_EQ(listed({root_.crl_pem()}).crl_skipped, Reason::Ok);
  EXPECT_TRUE(listed({issuing_.crl_pem({&leaf_}, {.break_signature = true})}).ok());
  EXPECT_EQ(listed({issuing_.crl_pem({&leaf_})}).reason, Reason::Revoked);
  EXPECT_EQ(listed({root_.crl_pem({&issuing_.certificate()})}).reason, Reason::Revoked);
}

TEST_F(VerifyRevocation, RefusesWhereNoListCovers) {
  const auto missing = [&](const std::vector<std::string>& lists, CrlScope scope) {
    const Verdict verdict = judge(root_.cert_pem(), lists, scope);
    return verdict.reason == Reason::CrlMissing &&
           verdict.openssl_error == X509_V_ERR_UNABLE_TO_GET_CRL && verdict.valid_until == 0;
  };

  EXPECT_TRUE(missing({}, CrlScope::Chain));
  EXPECT_TRUE(missing({}, CrlScope::Leaf));
  EXPECT_TRUE(missing({issuing_.crl_pem()}, CrlScope::Chain));
  EXPECT_TRUE(missing({root_.crl_pem()}, CrlScope::Chain));
  EXPECT_TRUE(missing({root_.crl_pem()}, CrlScope::Leaf));
  EXPECT_TRUE(
      missing({root_.crl_pem(), issuing_.crl_pem({}, {.break_signature = true})}, CrlScope::Chain));
  EXPECT_FALSE(missing({issuing_.crl_pem()}, CrlScope::Leaf));
}

TEST_F(VerifyRevocation, WorksWithAnIntermediateAsTheAnchor) {
  EXPECT_EQ(judge(issuing_.cert_pem(), {issuing_.crl_pem()}).reason, Reason::Ok);
  EXPECT_EQ(judge(issuing_.cert_pem(), {issuing_.crl_pem({&leaf_})}).reason, Reason::Revoked);
  EXPECT_EQ(judge(issuing_.cert_pem(), {root_.crl_pem()}).reason, Reason::CrlMissing);
}

TEST_F(VerifyRevocation, RefusesExpiredAndFutureLists) {
  const std::string root = root_.crl_pem();
  const Verdict expired =
      judge(root_.cert_pem(), {root, issuing_.crl_pem({}, {.next_update = kYear2026})});
  const Verdict early =
      judge(root_.cert_pem(), {root, issuing_.crl_pem({}, {.this_update = kYear2026 + 1})});

  EXPECT_EQ(expired.reason, Reason::CrlExpired);
  EXPECT_EQ(expired.openssl_error, X509_V_ERR_CRL_HAS_EXPIRED);
  EXPECT_EQ(early.reason, Reason::CrlNotYetValid);
  EXPECT_EQ(early.openssl_error, X509_V_ERR_CRL_NOT_YET_VALID);
  EXPECT_EQ(judge(root_.cert_pem(),
                  {root, issuing_.crl_pem({}, {.next_update = kYear2026}), issuing_.crl_pem()})
                .reason,
            Reason::Ok);
}

class WithoutCrl : public VerifyRevocation {
 protected:
  Verdict allow(const std::vector<std::string>& lists) const {
    const auto chain = load_chain(leaf_.chain_pem());
    std::vector<std::shared_ptr<const CrlSet>> sets;
    for (const std::string& list : lists) sets.push_back(*CrlSet::load(list));
    VerifyRules rules;
    rules.names = {"a.svc.test"};
    rules.crl_scope = CrlScope::Chain;
    rules.allow_without_crl = true;
    return verify_chain(chain->leaf.get(), chain->intermediates.get(),
                        {*CaBundle::load(root_.cert_pem(), kYear2026)}, sets, rules, kYear2026);
  }
};

TEST_F(WithoutCrl, WhatNoListInDateCoversPassesAndSaysSo) {
  EXPECT_EQ(allow({}).crl_skipped, Reason::CrlMissing);
  EXPECT_EQ(
      allow({root_.crl_pem(), issuing_.crl_pem({}, {.next_update = kYear2026 - kDay})}).crl_skipped,
      Reason::CrlExpired);
  EXPECT_EQ(
      allow({root_.crl_pem(), issuing_.crl_pem({}, {.this_update = kYear2026 + kDay})}).crl_skipped,
      Reason::CrlNotYetValid);
  EXPECT_TRUE(allow({}).ok());
  EXPECT_EQ(allow({root_.crl_pem(), issuing_.crl_pem()}).crl_skipped, Reason::Ok);
}

// Or what it revokes would pass until a certificate ends, on every connection that was verified.
TEST_F(WithoutCrl, AVerdictEndsWhereAListBegins) {
  const std::string later = issuing_.crl_pem({&leaf_}, {.this_update = kYear2026 + 9});

  EXPECT_EQ(allow({root_.crl_pem(), later}).valid_until, kYear2026 + 8);
  EXPECT_EQ(judge(root_.cert_pem(), {root_.crl_pem(), issuing_.crl_pem(), later}).valid_until,
            kYear2026 + 8);
}

TEST_F(WithoutCrl, WhatIsRevokedIsRefusedWhereverTheListsHaveHoles) {
  EXPECT_EQ(allow({issuing_.crl_pem({&leaf_})}).reason, Reason::Revoked);
  // The leaf is covered by none, its issuer is revoked.
  EXPECT_EQ(allow({root_.crl_pem({&issuing_.certificate()})}).reason, Reason::Revoked);
  EXPECT_EQ(allow({issuing_.crl_pem({&leaf_}, {.next_update = kYear2026 - kDay})}).reason,
            Reason::Revoked);
}

TEST_F(VerifyRevocation, IsJudgedLast) {
  const auto expired = issuing_.issue("a.svc.test", {.not_after = kYear2026});

  EXPECT_EQ(
      judge(expired, root_.cert_pem(), {issuing_.crl_pem({&expired})}, CrlScope::Leaf, kYear2026)
          .reason,
      Reason::Expired);
}

TEST_F(VerifyRevocation, TellsTwoKeysOfOneNameApart) {
  // A rollover: the authority has a new key under its old name; each key signs its own list.
  const TestAuthority renewed = root_.intermediate("issuing");
  const std::string root = root_.crl_pem();

  EXPECT_EQ(judge(root_.cert_pem(), {root, renewed.crl_pem()}).reason, Reason::CrlMissing);
  EXPECT_EQ(judge(root_.cert_pem(), {root, renewed.crl_pem(), issuing_.crl_pem({&leaf_})}).reason,
            Reason::Revoked);
  EXPECT_EQ(judge(root_.cert_pem(), {root, renewed.crl_pem({&leaf_}), issuing_.crl_pem()}).reason,
            Reason::Ok);
}

TEST_F(VerifyRevocation, JudgesThePeersOwnCertificateEvenIfItIsTheAnchor) {
  const TestAuthority own{
      "own",
      {.sans = {"DNS:a.svc.test"}, .key_usage = "critical,keyCertSign,cRLSign,digitalSignature"}};
  const auto with = [&](const std::vector<std::string>& lists) {
    return judge(own.certificate(), own.cert_pem(), lists, CrlScope::Chain, kYear2026).reason;
  };

  EXPECT_EQ(with({}), Reason::CrlMissing);
  EXPECT_EQ(with({own.crl_pem()}), Reason::Ok);
  EXPECT_EQ(with({own.crl_pem({&own.certificate()})}), Reason::Revoked);
}

}  // namespace
}  // namespace handfast::pki
