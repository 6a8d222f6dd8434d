#include "controller/reconcile/ticket_ring.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/config/text.h"

namespace handfast::reconcile {
namespace {

using std::chrono::hours;

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr UnixSeconds kInterval = 12 * 3600;
constexpr std::size_t kLine = 161;

std::size_t keys(const TicketRing& ring) {
  return static_cast<std::size_t>(std::ranges::count(ring.bytes(), '\n'));
}

TEST(TicketRing, MakesAKeyEachIntervalAndKeepsThree) {
  TicketRing ring{hours(12)};
  ring.rotate(kNow);
  const std::string first = ring.bytes();
  EXPECT_EQ(first.size(), kLine);

  ring.rotate(kNow + kInterval - 1);
  EXPECT_EQ(ring.bytes(), first);

  ring.rotate(kNow + kInterval);
  EXPECT_EQ(ring.bytes().substr(kLine), first);
  const std::string second = ring.bytes().substr(0, kLine);
  ring.rotate(kNow + 2 * kInterval);
  ring.rotate(kNow + 3 * kInterval);

  EXPECT_EQ(keys(ring), TicketRing::kKeys);
  EXPECT_EQ(ring.bytes().substr(2 * kLine), second);
  EXPECT_EQ(ring.due(), kNow + 4 * kInterval);
}

TEST(TicketRing, IsAFileOfAGeneration) {
  TicketRing ring{hours(12)};
  ring.rotate(kNow);
  config::Front front;
  front.ticket_keys = {ring.file()};

  EXPECT_TRUE(config::validate(front).has_value());
  EXPECT_TRUE(TicketRing::is_own(ring.file()));
  EXPECT_FALSE(TicketRing::is_own({"tls/a/b/0123456789abcdef/ticket.key", "Secret/a/b"}));
}

TEST(TicketRing, IsTakenUpWithItsAge) {
  TicketRing before{hours(12)};
  before.rotate(kNow);
  before.rotate(kNow + kInterval);

  TicketRing after{hours(12)};
  ASSERT_TRUE(after.restore(before.file(), before.bytes()));
  after.rotate(kNow + 2 * kInterval - 1);
  EXPECT_EQ(after.file(), before.file());

  after.rotate(kNow + 2 * kInterval);
  EXPECT_EQ(after.bytes().substr(kLine), before.bytes());
}

TEST(TicketRing, TakesNothingUpThatIsNotWhole) {
  TicketRing before{hours(12)};
  before.rotate(kNow);
  const std::string good = before.bytes();
  TicketRing ring{hours(12)};

  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ring.restore(before.file(), good.substr(0, size))) << size;
  }
  EXPECT_FALSE(ring.restore(before.file(), good + good + good + good));
  EXPECT_FALSE(ring.restore(before.file(), "g" + good.substr(1)));
  EXPECT_FALSE(ring.restore({before.file().path, "Secret/shop/tickets"}, good));
  EXPECT_FALSE(ring.restore({before.file().path, "Controller/session-tickets@soon"}, good));
  EXPECT_TRUE(ring.bytes().empty());
}

TEST(TicketRing, DoesNotTrustATimeThatIsYetToCome) {
  TicketRing ring{hours(12)};
  ring.rotate(kNow);
  ring.rotate(kNow - 1000 * kInterval);

  EXPECT_EQ(keys(ring), 2U);
  EXPECT_EQ(ring.due(), kNow - 999 * kInterval);
}

}  // namespace
}  // namespace handfast::reconcile
