#include "controller/admission/own_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/support/test_authority.h"

namespace handfast::admission {
namespace {

using handfast::testing::kDay;
using handfast::testing::kYear2026;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

OwnCertificate make() {
  auto made = OwnCertificate::make({"handfast.ingress.svc"}, kYear2026);
  EXPECT_TRUE(made.has_value()) << made.error();
  return std::move(*made);
}

bool advance(OwnCertificate& certificate, UnixSeconds now) {
  const auto advanced = certificate.advance(now);
  EXPECT_TRUE(advanced.has_value()) << advanced.error();
  return advanced.value_or(false);
}

TEST(OwnCertificate, WantsToBeKnown) {
  const OwnCertificate own = make();

  EXPECT_THAT(own.wanted(), ElementsAre(own.serving().certificate));
  EXPECT_THAT(own.unwanted(), IsEmpty());
}

TEST(OwnCertificate, BearsClocksThatAreOffByADay) {
  const OwnCertificate own = make();

  EXPECT_EQ(own.serving().not_before, kYear2026 - kDay);
}

TEST(OwnCertificate, IsRenewedAtTwoThirdsOfItsLife) {
  OwnCertificate own = make();
  own.on_written(kYear2026);

  EXPECT_EQ(own.due(), kYear2026 + 14 * kDay);
  EXPECT_FALSE(advance(own, own.due() - 1));
  EXPECT_EQ(own.wanted().size(), 1U);
  EXPECT_FALSE(advance(own, own.due()));
  EXPECT_EQ(own.wanted().size(), 2U);
}

TEST(OwnCertificate, ServesTheNextOneOnlyAfterItWasAnnounced) {
  OwnCertificate own = make();
  own.on_written(kYear2026);
  const std::string first = own.serving().certificate;
  const UnixSeconds renewal = own.due();
  ASSERT_FALSE(advance(own, renewal));
  const std::string next = own.wanted()[1];

  EXPECT_FALSE(advance(own, renewal + kDay));  // nobody could write
  EXPECT_EQ(own.serving().certificate, first);

  own.on_written(renewal + kDay);
  EXPECT_EQ(own.due(), renewal + kDay + 60);
  EXPECT_FALSE(advance(own, own.due() - 1));
  EXPECT_TRUE(advance(own, own.due()));
  EXPECT_EQ(own.serving().certificate, next);
  EXPECT_THAT(own.wanted(), ElementsAre(next));
  EXPECT_THAT(own.unwanted(), ElementsAre(first));

  own.on_written(renewal + kDay + 61);
  EXPECT_THAT(own.unwanted(), IsEmpty());
}

TEST(OwnCertificate, HasTheNamesByWhichAnApiServerAsks) {
  EXPECT_THAT(names_of_service("ingress", "handfast", "cluster.local"),
              ElementsAre("handfast.ingress.svc", "handfast.ingress",
                          "handfast.ingress.svc.cluster.local"));
}

}  // namespace
}  // namespace handfast::admission
