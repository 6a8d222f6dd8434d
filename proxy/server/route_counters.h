#pragma once
// What RouteMetrics counts with: the counters of one route in one worker. Only for its two sources.
//
// Threading: one worker writes, a scrape reads; each number is right by itself, and two that belong
// together may be a request apart.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/server/route_metrics.h"

namespace handfast::server {

inline constexpr std::array<std::string_view, 10> kMethods{
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "other"};

// One writer: no need for an atomic read-modify-write.
inline void add(std::atomic<std::uint64_t>& counter, std::uint64_t amount) {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

template <std::size_t Bounds>
struct Histogram {
  std::array<std::atomic<std::uint64_t>, Bounds + 1> buckets{};
  std::atomic<std::uint64_t> sum{0};

  void count(const std::array<std::uint64_t, Bounds>& bounds, std::uint64_t value) {
    std::size_t bucket = 0;
    while (bucket < Bounds && value > bounds[bucket]) ++bucket;
    add(buckets[bucket], 1);
    add(sum, value);
  }
};

// The sum of several histograms, no longer shared.
template <std::size_t Bounds>
struct HistogramSum {
  std::array<std::uint64_t, Bounds + 1> buckets{};
  std::uint64_t sum = 0;

  void add(const Histogram<Bounds>& other) {
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      buckets[i] += other.buckets[i].load(std::memory_order_relaxed);
    }
    sum += other.sum.load(std::memory_order_relaxed);
  }
};

// ingress-nginx's buckets: microseconds, and bytes.
inline constexpr std::array<std::uint64_t, 11> kNginxMicroseconds{
    5'000,   10'000,    25'000,    50'000,    100'000,   250'000,
    500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};
inline constexpr std::array<std::uint64_t, 10> kNginxBytes{10, 20, 30, 40, 50, 60, 70, 80, 90, 100};

// In detail: of one method and status.
struct RouteMetrics::RequestCounters {
  Histogram<kNginxMicroseconds.size()> duration, connect, header, response;
  Histogram<kNginxBytes.size()> request_bytes, response_bytes;
};

inline constexpr std::array<std::uint64_t, 12> kBoundsMicroseconds{
    1'000,   2'500,   5'000,   10'000,    25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 5'000'000, 30'000'000};

struct RouteMetrics::Counters {
  // Method and status that were seen, in the order of their first occurrence. More than fit are
  // counted in the last: a backend that invents statuses must not cost memory.
  static constexpr std::size_t kSlots = 24;
  struct Slot {
    std::atomic<std::uint32_t> key{0};  // method << 16 | status; 0: free
    std::atomic<std::uint64_t> count{0};
  };
  using Details = std::array<std::atomic<RequestCounters*>, kSlots>;

  ~Counters() {
    const std::unique_ptr<Details> owned(details.load());
    if (owned == nullptr) return;
    for (auto& one : *owned) delete one.load();
  }

  std::array<Slot, kSlots> slots;
  Histogram<kBoundsMicroseconds.size()> duration;
  std::atomic<Details*> details{nullptr};
};

template <class Each>
void RouteMetrics::for_each_worker(std::uint32_t id, const Each& each) const {
  for (const auto& table : tables_) {
    const Chunk* chunk = table->chunks[id / kChunk].load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    const Counters* counters = (*chunk)[id % kChunk].load(std::memory_order_acquire);
    if (counters != nullptr) each(*counters);
  }
}

}  // namespace handfast::server
