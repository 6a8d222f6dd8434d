#include "proxy/pki/ocsp.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include "proxy/pki/identity.h"
#include "proxy/pki/verify.h"
#include "tests/support/test_ocsp.h"

namespace handfast::pki {
namespace {

using testing::CertificateOptions;
using testing::kDay;
using testing::KeyType;
using testing::kYear2026;
using testing::ocsp_response;
using testing::OcspOptions;
using testing::TestAuthority;
using testing::TestCertificate;
using Status = OcspOptions::Status;

std::span<const unsigned char> bytes_of(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

class OcspTest : public ::testing::Test {
 protected:
  OcspVerdict judge_bytes(const std::string& response, UnixSeconds now = kYear2026) const {
    OcspVerdict verdict =
        judge_ocsp(bytes_of(response), *leaf_.x509(), *issuing_.certificate().x509(), crls_, now);
    EXPECT_EQ(ERR_peek_error(), 0U);
    EXPECT_EQ(verdict.reason == Reason::Ok, verdict.detail.empty()) << verdict.detail;
    EXPECT_EQ(verdict.reason == Reason::Ok, verdict.valid_until != 0);
    return verdict;
  }
  Reason judge(const OcspOptions& options = {}, UnixSeconds now = kYear2026) const {
    return judge_bytes(ocsp_response(issuing_, leaf_, options), now).reason;
  }
  TestCertificate responder(CertificateOptions options = {}) const {
    if (!options.extended_key_usage) options.extended_key_usage = "OCSPSigning";
    return issuing_.issue("responder", options);
  }
  Reason judge_by(const TestCertificate& responder) const {
    return judge({.responder = &responder});
  }

  TestAuthority root_{"root"};
  TestAuthority issuing_ = root_.intermediate("issuing");
  TestCertificate leaf_ = issuing_.issue("a.svc.test");
  std::vector<std::shared_ptr<const CrlSet>> crls_;
};

TEST_F(OcspTest, BelievesTheIssuerItself) {
  const OcspVerdict verdict = judge_bytes(ocsp_response(issuing_, leaf_));

  EXPECT_EQ(verdict.reason, Reason::Ok) << verdict.detail;
  EXPECT_EQ(verdict.valid_until, kYear2026 + kDay + kOcspSkew);
  EXPECT_EQ(judge({.by_key = true}), Reason::Ok);
  EXPECT_EQ(judge({.id_digest = "SHA256"}), Reason::Ok);
}

TEST_F(OcspTest, BelievesAResponderThatTheIssuerCertified) {
  EXPECT_EQ(judge_by(responder()), Reason::Ok);
  EXPECT_EQ(judge_by(responder({.key = KeyType::Rsa2048})), Reason::Ok);
  EXPECT_EQ(judge_by(responder({.key = KeyType::Ed25519})), Reason::Ok);
  const auto by_key = responder();
  EXPECT_EQ(judge({.responder = &by_key, .by_key = true}), Reason::Ok);
}

TEST_F(OcspTest, BelievesNoOtherSigner) {
  const auto no_usage = responder({.extended_key_usage = "serverAuth"});
  const auto any_usage = responder({.extended_key_usage = ""});
  const auto of_root = root_.issue("responder", {.extended_key_usage = "OCSPSigning"});
  const auto of_namesake =
      TestAuthority("issuing").issue("responder", {.extended_key_usage = "OCSPSigning"});
  const auto own = testing::self_signed("issuing", {.extended_key_usage = "OCSPSigning"});
  const auto absent = responder();
  EXPECT_EQ(judge_by(no_usage), Reason::Ocsp);
  EXPECT_EQ(judge_by(any_usage), Reason::Ocsp);
  EXPECT_EQ(judge_by(leaf_), Reason::Ocsp);  // a peer must not vouch for itself
  EXPECT_EQ(judge_by(of_root), Reason::Ocsp);
  EXPECT_EQ(judge_by(of_namesake), Reason::Ocsp);
  EXPECT_EQ(judge_by(own), Reason::Ocsp);
  EXPECT_EQ(judge_by(root_.certificate()), Reason::Ocsp);
  EXPECT_EQ(judge({.responder = &absent, .with_certificate = false}), Reason::Ocsp);
}

TEST_F(OcspTest, JudgesTheRespondersCertificate) {
  EXPECT_EQ(judge_by(responder({.not_after = kYear2026 - 1})), Reason::Ocsp);
  EXPECT_EQ(judge_by(responder({.not_before = kYear2026 + 1})), Reason::Ocsp);
  EXPECT_EQ(judge_by(responder({.key_usage = "critical,keyEncipherment"})), Reason::Ocsp);
  EXPECT_EQ(judge_by(responder({.key = KeyType::Rsa1024})), Reason::Ocsp);
  EXPECT_EQ(judge_by(responder({.digest = "SHA1"})), Reason::Ocsp);
  EXPECT_EQ(judge_by(responder({.extensions = {{"1.2.3.4", "critical,DER:0500"}}})), Reason::Ocsp);
}

TEST_F(OcspTest, ARevokedResponderVouchesForNothingUnlessItIsNotToBeChecked) {
  const auto revoked = responder();
  const auto no_check = responder({.extensions = {{"noCheck", "ignored"}}});
  crls_ = {*CrlSet::load(issuing_.crl_pem({&revoked, &no_check}))};

  EXPECT_EQ(judge_by(revoked), Reason::Ocsp);
  EXPECT_EQ(judge_by(no_check), Reason::Ok);
  EXPECT_EQ(judge_by(responder()), Reason::Ok);
}

TEST_F(OcspTest, RefusesWhatIsNotSignedWell) {
  EXPECT_EQ(judge({.break_signature = true}), Reason::Ocsp);
  EXPECT_EQ(judge({.digest = "SHA1"}), Reason::Ocsp);
  EXPECT_EQ(judge({.status = Status::Revoked, .break_signature = true}), Reason::Ocsp);
}

TEST_F(OcspTest, RefusesAnAnswerAboutAnotherCertificate) {
  const auto other = issuing_.issue("a.svc.test");
  const TestAuthority namesake("issuing", {.reuse_key = root_.certificate().shared_key()});

  EXPECT_EQ(judge_bytes(ocsp_response(issuing_, other)).reason, Reason::Ocsp);
  EXPECT_EQ(judge_bytes(ocsp_response(root_, leaf_)).reason, Reason::Ocsp);
  EXPECT_EQ(judge_bytes(ocsp_response(namesake, leaf_)).reason, Reason::Ocsp);
}

TEST_F(OcspTest, TellsRevokedAndUnknownApart) {
  EXPECT_EQ(judge({.status = Status::Revoked}), Reason::Revoked);
  EXPECT_EQ(judge({.status = Status::Unknown}), Reason::Ocsp);
  EXPECT_EQ(judge({.try_later = true}), Reason::Ocsp);
}

TEST_F(OcspTest, AllowsForASmallDifferenceOfClocks) {
  EXPECT_EQ(judge({.this_update = kYear2026 + kOcspSkew}), Reason::Ok);
  EXPECT_EQ(judge({.this_update = kYear2026 + kOcspSkew + 1}), Reason::Ocsp);
  EXPECT_EQ(judge({.next_update = kYear2026 - kOcspSkew}), Reason::Ok);
  EXPECT_EQ(judge({.next_update = kYear2026 - kOcspSkew - 1}), Reason::Ocsp);
}

TEST_F(OcspTest, RefusesAResponseThatNeverGrowsOld) {
  EXPECT_EQ(judge({.next_update = std::nullopt}), Reason::Ocsp);
}

TEST_F(OcspTest, ARevocationCondemnsEvenFromAnOldResponseButNotFromTheFuture) {
  EXPECT_EQ(judge({.status = Status::Revoked, .next_update = kYear2026 - 10 * kDay}),
            Reason::Revoked);
  EXPECT_EQ(judge({.status = Status::Revoked, .this_update = kYear2026 + kDay}), Reason::Ocsp);
}

TEST_F(OcspTest, RefusesBytesThatAreNoResponse) {
  const std::string good = ocsp_response(issuing_, leaf_);
  EXPECT_EQ(judge_bytes("").reason, Reason::Ocsp);
  EXPECT_EQ(judge_bytes("junk").reason, Reason::Ocsp);
  EXPECT_EQ(judge_bytes(good + "x").reason, Reason::Ocsp);
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_EQ(judge_bytes(good.substr(0, i)).reason, Reason::Ocsp);
  }
}

// In the chain's judgement.
class StapleTest : public OcspTest {
 protected:
  Verdict verify(const TestCertificate& leaf, OcspMode mode, const std::string& response) const {
    const auto chain = load_chain(leaf.chain_pem());
    VerifyRules rules;
    rules.names = {"a.svc.test"};
    return verify_chain(chain->leaf.get(), chain->intermediates.get(), {ca_}, {}, rules, kYear2026,
                        {mode, bytes_of(response)});
  }

  std::shared_ptr<const CaBundle> ca_ = *CaBundle::load(root_.cert_pem(), kYear2026);
};

TEST_F(StapleTest, IsLookedAtAsTheModeSays) {
  const std::string good = ocsp_response(issuing_, leaf_);
  const std::string revoked = ocsp_response(issuing_, leaf_, {.status = Status::Revoked});
  EXPECT_TRUE(verify(leaf_, OcspMode::Off, revoked).ok());
  EXPECT_TRUE(verify(leaf_, OcspMode::IfPresent, "").ok());
  EXPECT_TRUE(verify(leaf_, OcspMode::IfPresent, good).ok());
  EXPECT_TRUE(verify(leaf_, OcspMode::Require, good).ok());
  EXPECT_EQ(verify(leaf_, OcspMode::IfPresent, revoked).reason, Reason::Revoked);
  EXPECT_EQ(verify(leaf_, OcspMode::IfPresent, "junk").reason, Reason::Ocsp);
  EXPECT_EQ(verify(leaf_, OcspMode::Require, "").reason, Reason::Ocsp);
}

TEST_F(StapleTest, TheVerdictHoldsNoLongerThanTheResponse) {
  EXPECT_EQ(verify(leaf_, OcspMode::IfPresent, ocsp_response(issuing_, leaf_)).valid_until,
            kYear2026 + kDay + kOcspSkew);
  EXPECT_EQ(verify(leaf_, OcspMode::IfPresent, "").valid_until, testing::kYear2120);
}

TEST_F(StapleTest, ACertificateThatMustBeStapledIsHeldToIt) {
  const auto leaf =
      issuing_.issue("a.svc.test", {.extensions = {{"tlsfeature", "status_request"}}});
  EXPECT_TRUE(must_staple(*leaf.x509()));
  EXPECT_FALSE(must_staple(*leaf_.x509()));
  EXPECT_EQ(verify(leaf, OcspMode::IfPresent, "").reason, Reason::Ocsp);
  EXPECT_TRUE(verify(leaf, OcspMode::IfPresent, ocsp_response(issuing_, leaf)).ok());
  EXPECT_TRUE(verify(leaf, OcspMode::Off, "").ok());
}

}  // namespace
}  // namespace handfast::pki
