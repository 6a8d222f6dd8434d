#include "proxy/server/route_metrics.h"

#include <cstdio>

#include "proxy/base/check.h"

namespace handfast::server {
namespace {

constexpr std::array<std::string_view, 10> kMethods{
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "other"};
constexpr std::array<std::uint64_t, 12> kBoundsMicroseconds{
    1'000,   2'500,   5'000,   10'000,    25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 5'000'000, 30'000'000};
constexpr std::array<std::string_view, 12> kBounds{
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "5", "30"};

std::uint32_t method_number(std::string_view method) {
  for (std::uint32_t i = 0; i + 1 < kMethods.size(); ++i) {
    if (kMethods[i] == method) return i;
  }
  return kMethods.size() - 1;
}

// One writer: no need for an atomic read-modify-write.
void add(std::atomic<std::uint64_t>& counter, std::uint64_t amount) {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace

struct RouteMetrics::Counters {
  // Method and status that were seen, in the order of their first occurrence. More than fit are
  // counted in the last: a backend that invents statuses must not cost memory.
  static constexpr std::size_t kSlots = 24;
  struct Slot {
    std::atomic<std::uint32_t> key{0};  // method << 16 | status; 0: free
    std::atomic<std::uint64_t> count{0};
  };
  std::array<Slot, kSlots> slots;
  std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> buckets{};
  std::atomic<std::uint64_t> microseconds{0};
};

RouteMetrics::RouteMetrics(std::size_t workers) {
  for (std::size_t i = 0; i < workers; ++i) tables_.push_back(std::make_unique<WorkerTable>());
  const auto [none, inserted] = interned_.emplace(RouteLabels{}, Interned{kNoRoute, 1});
  by_id_.push_back(&none->first);
}

RouteMetrics::~RouteMetrics() {
  for (auto& table : tables_) {
    for (auto& chunk_slot : table->chunks) {
      Chunk* chunk = chunk_slot.load();
      if (chunk == nullptr) continue;
      for (auto& counters : *chunk) delete counters.load();
      delete chunk;
    }
  }
}

std::shared_ptr<void> RouteMetrics::intern(const std::vector<RouteLabels>& labels,
                                           std::vector<std::uint32_t>& ids) {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> held;
  ids.clear();
  for (const RouteLabels& label : labels) {
    auto found = interned_.find(label);
    if (found == interned_.end()) {
      if (free_.empty() && by_id_.size() >= kChunk * kMaxChunks) {
        ids.push_back(kNoRoute);
        continue;
      }
      std::uint32_t id = static_cast<std::uint32_t>(by_id_.size());
      if (free_.empty()) {
        by_id_.push_back(nullptr);
      } else {
        id = free_.back();
        free_.pop_back();
      }
      found = interned_.emplace(label, Interned{id, 0}).first;
      by_id_[id] = &found->first;
    }
    ++found->second.references;
    ids.push_back(found->second.id);
    held.push_back(found->second.id);
  }
  return {nullptr, [this, held = std::move(held)](void*) { release(held); }};
}

void RouteMetrics::release(const std::vector<std::uint32_t>& ids) {
  const std::lock_guard lock(mutex_);
  for (const std::uint32_t id : ids) {
    const auto found = interned_.find(*by_id_[id]);
    check(found != interned_.end());
    if (--found->second.references > 0) continue;
    for (auto& table : tables_) {
      if (auto* counters = slot(*table, id, /*make=*/false); counters != nullptr) {
        delete counters->exchange(nullptr);
      }
    }
    by_id_[id] = nullptr;
    free_.push_back(id);
    interned_.erase(found);
  }
}

std::atomic<RouteMetrics::Counters*>* RouteMetrics::slot(WorkerTable& table, std::uint32_t id,
                                                         bool make) {
  std::atomic<Chunk*>& chunk_slot = table.chunks[id / kChunk];
  Chunk* chunk = chunk_slot.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    if (!make) return nullptr;
    chunk = new Chunk{};
    chunk_slot.store(chunk, std::memory_order_release);
  }
  return &(*chunk)[id % kChunk];
}

void RouteMetrics::count(std::size_t worker, std::uint32_t id, std::string_view method, int status,
                         std::chrono::microseconds duration) {
  std::atomic<Counters*>& place = *slot(*tables_[worker], id, /*make=*/true);
  Counters* counters = place.load(std::memory_order_relaxed);
  if (counters == nullptr) {
    counters = new Counters();
    place.store(counters, std::memory_order_release);
  }
  const std::uint32_t key = method_number(method) << 16 | static_cast<std::uint32_t>(status);
  for (std::size_t i = 0; i < Counters::kSlots; ++i) {
    Counters::Slot& entry = counters->slots[i];
    const std::uint32_t present = entry.key.load(std::memory_order_relaxed);
    if (present == key || present == 0 || i + 1 == Counters::kSlots) {
      if (present == 0) entry.key.store(key, std::memory_order_relaxed);
      add(entry.count, 1);
      break;
    }
  }
  const auto microseconds = static_cast<std::uint64_t>(duration.count());
  std::size_t bucket = 0;
  while (bucket < kBoundsMicroseconds.size() && microseconds > kBoundsMicroseconds[bucket])
    ++bucket;
  add(counters->buckets[bucket], 1);
  add(counters->microseconds, microseconds);
}

std::string escape_label(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped.push_back('\\');
    if (c == '\n') {
      escaped.append("\\n");
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

void RouteMetrics::write_route(std::string& requests, std::string& durations,
                               const RouteLabels& labels, std::uint32_t id) const {
  std::map<std::uint32_t, std::uint64_t> counts;
  std::array<std::uint64_t, kBounds.size() + 1> buckets{};
  std::uint64_t microseconds = 0;
  for (const auto& table : tables_) {
    const Chunk* chunk = table->chunks[id / kChunk].load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    const Counters* counters = (*chunk)[id % kChunk].load(std::memory_order_acquire);
    if (counters == nullptr) continue;
    for (const auto& entry : counters->slots) {
      if (const std::uint32_t key = entry.key.load(std::memory_order_relaxed); key != 0) {
        counts[key] += entry.count.load(std::memory_order_relaxed);
      }
    }
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      buckets[i] += counters->buckets[i].load(std::memory_order_relaxed);
    }
    microseconds += counters->microseconds.load(std::memory_order_relaxed);
  }
  if (counts.empty()) return;

  const std::string common = "host=\"" + escape_label(labels.host) + "\",ingress=\"" +
                             escape_label(labels.ingress) + "\",namespace=\"" +
                             escape_label(labels.ns) + "\",service=\"" +
                             escape_label(labels.service) + "\"";
  for (const auto& [key, count] : counts) {
    requests.append("handfast_requests_total{").append(common).append(",method=\"");
    requests.append(kMethods[key >> 16]).append("\",status=\"");
    requests.append(std::to_string(key & 0xffff))
        .append("\"} ")
        .append(std::to_string(count))
        .append("\n");
  }
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    total += buckets[i];
    durations.append("handfast_request_duration_seconds_bucket{").append(common).append(",le=\"");
    durations.append(i < kBounds.size() ? kBounds[i] : "+Inf").append("\"} ");
    durations.append(std::to_string(total)).append("\n");
  }
  char sum[40];
  std::snprintf(sum, sizeof sum, "%.6f", static_cast<double>(microseconds) / 1e6);
  durations.append("handfast_request_duration_seconds_sum{")
      .append(common)
      .append("} ")
      .append(sum);
  durations.append("\nhandfast_request_duration_seconds_count{").append(common).append("} ");
  durations.append(std::to_string(total)).append("\n");
}

void RouteMetrics::write(std::string& out) const {
  std::string durations;
  out.append(
      "# HELP handfast_requests_total Requests by host, ingress, service, method and status.\n"
      "# TYPE handfast_requests_total counter\n");
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [labels, interned] : interned_)
      write_route(out, durations, labels, interned.id);
  }
  out.append(
      "# HELP handfast_request_duration_seconds From a request's head to the end of its response.\n"
      "# TYPE handfast_request_duration_seconds histogram\n");
  out.append(durations);
}

}  // namespace handfast::server
