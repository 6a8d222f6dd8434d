#include "proxy/net/connection_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace handfast::net {
namespace {

Address ip(const std::string& text, std::uint16_t port = 1) {
  return Address::from_ip(text, port).value();
}

TEST(ConnectionLimits, GivesAnAddressAsManyAsItMayHave) {
  ConnectionLimits limits(2);
  const auto first = limits.try_take(ip("192.0.2.1", 1000));
  const auto second = limits.try_take(ip("192.0.2.1", 1001));

  EXPECT_TRUE(first && second);
  EXPECT_FALSE(limits.try_take(ip("192.0.2.1", 1002)));
  EXPECT_TRUE(limits.try_take(ip("192.0.2.2", 1003)));
}

TEST(ConnectionLimits, GivesAgainWhatWasGivenBack) {
  ConnectionLimits limits(1);
  auto slot = limits.try_take(ip("192.0.2.1"));
  ASSERT_TRUE(slot);
  ASSERT_FALSE(limits.try_take(ip("192.0.2.1")));

  slot.reset();

  EXPECT_TRUE(limits.try_take(ip("192.0.2.1")));
}

TEST(ConnectionLimits, GivesBackOnceHoweverASlotIsMoved) {
  ConnectionLimits limits(1);
  {
    ConnectionLimits::Slot first = std::move(*limits.try_take(ip("192.0.2.1")));
    ConnectionLimits::Slot second(std::move(first));
    ConnectionLimits::Slot third;
    third = std::move(second);
    EXPECT_FALSE(limits.try_take(ip("192.0.2.1")));
  }
  EXPECT_TRUE(limits.try_take(ip("192.0.2.1")));
}

TEST(ConnectionLimits, LimitsNothingWithALimitOfZero) {
  ConnectionLimits limits(0);
  std::vector<ConnectionLimits::Slot> slots;
  for (int i = 0; i < 1000; ++i) slots.push_back(limits.try_take(ip("192.0.2.1")).value());

  EXPECT_EQ(limits.addresses(), 0u);
}

TEST(ConnectionLimits, CountsAnIpv6ClientByItsNetworkOf64) {
  ConnectionLimits limits(1);
  const auto slot = limits.try_take(ip("2001:db8:0:1::1"));

  EXPECT_FALSE(limits.try_take(ip("2001:db8:0:1:ffff:ffff:ffff:ffff")));
  EXPECT_TRUE(limits.try_take(ip("2001:db8:0:2::1")));
}

TEST(ConnectionLimits, CountsAMappedAddressAsTheIpv4OneItIs) {
  ConnectionLimits limits(1);
  const auto slot = limits.try_take(ip("::ffff:192.0.2.1"));

  EXPECT_FALSE(limits.try_take(ip("192.0.2.1")));
  EXPECT_TRUE(limits.try_take(ip("::ffff:192.0.2.2")));
  EXPECT_TRUE(limits.try_take(ip("::1")));
}

TEST(ConnectionLimits, ForgetsAnAddressWithoutConnections) {
  ConnectionLimits limits(5);
  {
    std::vector<ConnectionLimits::Slot> slots;
    for (int i = 0; i < 200; ++i) {
      slots.push_back(limits.try_take(ip("10.0.0." + std::to_string(i))).value());
    }
    EXPECT_EQ(limits.addresses(), 200u);
  }
  EXPECT_EQ(limits.addresses(), 0u);
}

TEST(ConnectionLimits, NeverGivesMoreWithSeveralThreads) {
  constexpr int kMost = 3;
  ConnectionLimits limits(kMost);
  std::atomic<int> held{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5000; ++round) {
        const auto slot = limits.try_take(ip("192.0.2.1"));
        if (!slot) continue;
        const int now = ++held;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_LE(most, kMost);
  EXPECT_EQ(limits.addresses(), 0u);
}

}  // namespace
}  // namespace handfast::net
