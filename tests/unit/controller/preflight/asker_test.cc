#include "controller/preflight/asker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace handfast::preflight {
namespace {

Question question(std::uint64_t number, bool is_awaited = false) {
  return {.policy = "shop/orders@utls/api:443",
          .number = number,
          .is_awaited = is_awaited,
          .request = {}};
}

TEST(AskerThreads, RepliesToEachQuestion) {
  std::mutex mutex;
  std::set<std::uint64_t> replied;
  std::promise<void> all;
  AskerThreads asker{[](const config::PreflightRequest&) {
    return Result<config::PreflightAnswer>{fail(Reason::Io, "no proxy")};
  }};
  asker.set_on_reply([&mutex, &replied, &all](const Reply& reply) {
    EXPECT_EQ(reply.answer.error().reason, Reason::Io);
    const std::lock_guard lock{mutex};
    replied.insert(reply.number);
    if (replied.size() == 20) all.set_value();
  });
  for (std::uint64_t number = 1; number <= 20; ++number) asker.ask(question(number));

  EXPECT_EQ(all.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(AskerThreads, WhatIsAwaitedOvertakesWhatIsNot) {
  constexpr std::uint64_t kBusy = AskerThreads::kThreads;
  constexpr std::uint64_t kAwaited = 100;
  // All threads wait, then one goes on alone, so that there is an order.
  std::promise<void> one_gate, gate;
  const std::shared_future<void> one_open = one_gate.get_future().share();
  const std::shared_future<void> open = gate.get_future().share();
  std::mutex mutex;
  std::vector<std::uint64_t> order;
  std::promise<void> all;
  AskerThreads asker{[&](const config::PreflightRequest& request) {
    if (request.endpoints.size() == 1) one_open.wait();
    if (request.endpoints.size() > 1) open.wait();
    return Result<config::PreflightAnswer>{config::PreflightAnswer{}};
  }};
  asker.set_on_reply([&mutex, &order, &all](const Reply& reply) {
    const std::lock_guard lock{mutex};
    order.push_back(reply.number);
    if (order.size() == 12) all.set_value();
  });
  for (std::uint64_t number = 1; number <= kBusy + 10; ++number) {
    Question next = question(number);
    if (number <= kBusy) next.request.endpoints.resize(number);
    asker.ask(std::move(next));
  }
  asker.ask(question(kAwaited, true));
  one_gate.set_value();
  const auto outcome = all.get_future().wait_for(std::chrono::seconds(20));
  gate.set_value();
  ASSERT_EQ(outcome, std::future_status::ready);

  // Not behind all that was asked before it.
  const std::lock_guard lock{mutex};
  const auto awaited = std::ranges::find(order, kAwaited);
  EXPECT_TRUE(std::none_of(order.begin(), awaited, [](auto number) { return number > kBusy; }));
  EXPECT_NE(order.back(), kAwaited);
}

TEST(AskerThreads, DropsWhatIsQueuedAtTheEnd) {
  AskerThreads asker{[](const config::PreflightRequest&) {
    return Result<config::PreflightAnswer>{config::PreflightAnswer{}};
  }};
  asker.set_on_reply([](const Reply&) {});
  asker.stop();
  asker.ask(question(1));
}

}  // namespace
}  // namespace handfast::preflight
