// Everything that can happen to a balancer, in random order: after each step its invariants hold.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "proxy/upstream/balancer.h"

namespace handfast::upstream {
namespace {

using config::LoadBalance;

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random_(seed), balancer_(seed) {
    for (auto& list : lists_) replace(list);
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      step();
      balancer_.check_invariants();
    }
  }

 private:
  static constexpr std::size_t kServices = 3;

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  void step() {
    const std::size_t service = below(kServices);
    switch (below(10)) {
      case 0:
        now_ += std::chrono::milliseconds(below(4'000));
        return;
      case 1:
        if (below(10) == 0) now_ += std::chrono::hours(2);
        return;
      case 2:
        return change(lists_[service]);
      case 3:
        return forget(service);
      case 4:
      case 5:
        return finish_one();
      default:
        return request(service);
    }
  }

  // Now and then in its place, without a word: as an external name's list may.
  void change(std::vector<net::Address>& list) {
    if (below(5) == 0 && !list.empty()) {
      const net::Address other = any_address();
      if (std::ranges::find(list, other) == list.end()) list[below(list.size())] = other;
      return;
    }
    replace(list);
    balancer_.on_snapshot();
  }

  void replace(std::vector<net::Address>& list) {
    std::vector<net::Address> made;
    for (std::uint64_t i = below(30); i > 0; --i) {
      const net::Address one = any_address();
      if (std::ranges::find(made, one) == made.end()) made.push_back(one);
    }
    list = std::move(made);
  }

  net::Address any_address() {
    const std::string ip =
        below(3) == 0 ? "fd00::" + std::to_string(below(9)) : "10.0.0." + std::to_string(below(40));
    return net::Address::from_ip(ip, 80).value();
  }

  void forget(std::size_t service) {
    if (below(10) == 0) balancer_.forget(kNames[service]);
  }

  void request(std::size_t service) {
    const std::vector<net::Address>& list = lists_[service];
    std::vector<net::Address> tried;
    for (const net::Address& address : list) {
      if (below(4) == 0) tried.push_back(address);
    }
    const auto choice = balancer_.pick({.service = kNames[service],
                                        .addresses = list,
                                        .tried = tried,
                                        .algorithm = static_cast<LoadBalance>(below(3)),
                                        .hash = below(3)},
                                       now_);
    ASSERT_EQ(choice.address == nullptr, tried.size() == list.size());
    if (choice.address == nullptr) return;
    ASSERT_EQ(std::ranges::count(list, *choice.address), 1);
    ASSERT_EQ(std::ranges::count(tried, *choice.address), 0);
    if (below(10) != 0) attempts_.push_back(balancer_.start(choice, now_));
  }

  void finish_one() {
    if (attempts_.empty()) return;
    std::swap(attempts_[below(attempts_.size())], attempts_.back());
    // Long runs of failures, so that endpoints rest.
    if (below(50) == 0) failing_ = !failing_;
    const std::uint64_t lot = below(10);
    if (lot < 8) {
      attempts_.back().finish(failing_ == (lot < 7) ? Outcome::Failed : Outcome::Ok, now_);
    } else if (lot == 8) {
      attempts_.back().finish(Outcome::Aborted, now_);
    }
    attempts_.pop_back();
  }

  static constexpr const char* kNames[kServices] = {"shop/a:80", "shop/b:80", "bank/c:443"};
  std::mt19937_64 random_;
  Monotonic now_{std::chrono::hours(1)};
  std::vector<net::Address> lists_[kServices];
  bool failing_ = false;
  std::vector<Balancer::Attempt> attempts_;  // outlives the balancer
  Balancer balancer_;
};

TEST(BalancerSimulation, KeepsItsInvariantsWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation(seed).run(2'000);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace handfast::upstream
