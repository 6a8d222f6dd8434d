#include "controller/preflight/votes.h"

#include <gtest/gtest.h>

#include <vector>

namespace handfast::preflight {
namespace {

using config::Acceptance;
using config::PreflightAnswer;
using config::PreflightVote;

PreflightVote vote(Reason reason, Acceptance acceptance = Acceptance::Unknown) {
  return {"10.0.0.7:8443", reason, "why", acceptance};
}

Judgement judge_all(std::vector<PreflightVote> votes, bool is_trust_new = false) {
  return judge({.refused = Reason::Ok, .detail = {}, .votes = std::move(votes)}, is_trust_new);
}

TEST(Votes, OneThatTookItIsEnough) {
  const auto judgement = judge_all({vote(Reason::ConnectRefused), vote(Reason::Revoked),
                                    vote(Reason::Ok, Acceptance::Accepted)});

  EXPECT_EQ(judgement.verdict, Verdict::Passed);
  EXPECT_TRUE(judgement.is_confirmed);
}

TEST(Votes, OneThatRefusesItDecides) {
  const auto judgement =
      judge_all({vote(Reason::Ok, Acceptance::Accepted), vote(Reason::ClientCertificateRejected)});

  EXPECT_EQ(judgement.verdict, Verdict::Refused);
  EXPECT_EQ(judgement.reason, Reason::ClientCertificateRejected);
  EXPECT_EQ(judgement.address, "10.0.0.7:8443");
}

TEST(Votes, ARevokedBackendHasNoVote) {
  for (const bool is_trust_new : {false, true}) {
    EXPECT_EQ(judge_all({vote(Reason::Revoked)}, is_trust_new).verdict, Verdict::Nobody);
  }
}

TEST(Votes, ABackendThatIsNotTrustedSpeaksOnlyAboutTrust) {
  for (const Reason reason : {Reason::UntrustedIssuer, Reason::NameMismatch, Reason::Expired,
                              Reason::CrlExpired, Reason::Ocsp}) {
    EXPECT_EQ(judge_all({vote(reason)}).verdict, Verdict::Nobody) << to_string(reason);
    EXPECT_EQ(judge_all({vote(reason)}, true).verdict, Verdict::Refused) << to_string(reason);
  }
}

TEST(Votes, WhatCannotBeReachedSaysNothing) {
  for (const Reason reason :
       {Reason::ConnectRefused, Reason::ConnectTimeout, Reason::NoEndpoints}) {
    EXPECT_EQ(judge_all({vote(reason), vote(Reason::Revoked)}).verdict, Verdict::Unreached);
  }
}

TEST(Votes, AHandshakeWithoutAWordAfterItIsNotConfirmed) {
  const auto silent = judge_all({vote(Reason::Ok, Acceptance::NotConfirmed)});
  EXPECT_EQ(silent.verdict, Verdict::Passed);
  EXPECT_FALSE(silent.is_confirmed);

  EXPECT_TRUE(judge_all({vote(Reason::Ok, Acceptance::NotConfirmed),
                         vote(Reason::Ok, Acceptance::Accepted)})
                  .is_confirmed);
}

TEST(Votes, RulesThatCannotBeUsedAreRefused) {
  const auto judgement = judge(
      {.refused = Reason::ClientCertificateNotYetValid, .detail = "soon", .votes = {}}, false);

  EXPECT_EQ(judgement.verdict, Verdict::Refused);
  EXPECT_EQ(judgement.reason, Reason::ClientCertificateNotYetValid);
}

TEST(Votes, NobodyToAskIsNobody) { EXPECT_EQ(judge_all({}).verdict, Verdict::Nobody); }

}  // namespace
}  // namespace handfast::preflight
