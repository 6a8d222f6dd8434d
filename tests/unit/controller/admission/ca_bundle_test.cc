#include "controller/admission/ca_bundle.h"

#include <gtest/gtest.h>

#include <string>

#include "controller/admission/self_signed.h"
#include "tests/support/test_authority.h"

namespace handfast::admission {
namespace {

using handfast::testing::kDay;
using handfast::testing::kYear2026;

std::string make(UnixSeconds until = kYear2026 + kDay) {
  auto made = make_self_signed(
      {.names = {"a.svc"}, .not_before = kYear2026 - kDay, .not_after = until, .with_crl = false});
  EXPECT_TRUE(made.has_value()) << made.error();
  return made->certificate;
}

TEST(CaBundle, GetsACertificateThatIsNotThere) {
  const std::string own = make();

  EXPECT_EQ(update_bundle("", {own}, {}, kYear2026), own);
}

TEST(CaBundle, KeepsWhatOthersPutThere) {
  const std::string own = make();
  const std::string other = make();
  const handfast::testing::TestAuthority authority{"operator"};
  const std::string bundle = "# ours\n" + authority.cert_pem() + other;

  EXPECT_EQ(update_bundle(bundle, {own}, {}, kYear2026), authority.cert_pem() + other + own);
}

TEST(CaBundle, IsLeftAloneWhereItIsRight) {
  const std::string own = make();

  EXPECT_EQ(update_bundle("text\n" + make() + own, {own}, {}, kYear2026), std::nullopt);
}

TEST(CaBundle, WhoWritesTakesOutWhatExpired) {
  const std::string own = make();
  const std::string expired = make(kYear2026 - 1);

  EXPECT_EQ(update_bundle(expired, {own}, {}, kYear2026), own);
}

TEST(CaBundle, NobodyWritesOnlyToTakeOutWhatExpired) {
  const std::string own = make();
  const std::string expired = make(kYear2026 - 1);

  EXPECT_EQ(update_bundle(expired + own, {own}, {}, kYear2026), std::nullopt);
}

TEST(CaBundle, LosesOurOwnWhenItIsNotWanted) {
  const std::string own = make();
  const std::string next = make();
  const std::string other = make();

  EXPECT_EQ(update_bundle(other + own + next, {next}, {own}, kYear2026), other + next);
  EXPECT_EQ(update_bundle(own, {}, {own}, kYear2026), "");
  EXPECT_EQ(update_bundle(other, {}, {own}, kYear2026), std::nullopt);
}

TEST(CaBundle, WhatCanNotBeReadIsWrittenAnew) {
  const std::string own = make();

  EXPECT_EQ(update_bundle("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\xff",
                          {own}, {}, kYear2026),
            own);
}

TEST(CaBundle, DropsTheOldestOfManyThatReplicasLeft) {
  const handfast::testing::TestAuthority authority{"operator"};
  std::string bundle = authority.cert_pem();
  std::string newest;
  for (int n = 0; n < 64; ++n) {
    const std::string each = make();
    bundle += each;
    if (n > 0) newest += each;
  }
  const std::string own = make();

  EXPECT_EQ(update_bundle(bundle, {own}, {}, kYear2026), authority.cert_pem() + newest + own);
}

}  // namespace
}  // namespace handfast::admission
