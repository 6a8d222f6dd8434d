#include "proxy/server/route_metrics.h"

#include <cstdio>

#include "proxy/base/check.h"
#include "proxy/server/route_counters.h"

namespace handfast::server {
namespace {

constexpr std::array<std::string_view, 12> kBounds{
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "5", "30"};

std::uint32_t method_number(std::string_view method) {
  for (std::uint32_t i = 0; i + 1 < kMethods.size(); ++i) {
    if (kMethods[i] == method) return i;
  }
  return kMethods.size() - 1;
}

bool same_but_for_path(const RouteLabels& one, const RouteLabels& other) {
  return one.host == other.host && one.ns == other.ns && one.ingress == other.ingress &&
         one.service == other.service;
}

void count_time(Histogram<kNginxMicroseconds.size()>& histogram, std::chrono::microseconds time) {
  if (time.count() >= 0) {
    histogram.count(kNginxMicroseconds, static_cast<std::uint64_t>(time.count()));
  }
}

}  // namespace

RouteMetrics::RouteMetrics(std::size_t workers, Detail detail) : detail_(detail) {
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

void RouteMetrics::count(std::size_t worker, std::uint32_t id, const CountedRequest& request) {
  std::atomic<Counters*>& place = *slot(*tables_[worker], id, /*make=*/true);
  Counters* counters = place.load(std::memory_order_relaxed);
  if (counters == nullptr) {
    counters = new Counters();
    if (in_detail()) counters->details.store(new Counters::Details{});
    place.store(counters, std::memory_order_release);
  }
  const std::uint32_t key =
      method_number(request.method) << 16 | static_cast<std::uint32_t>(request.status);
  std::size_t at = 0;
  while (at + 1 < Counters::kSlots) {
    const std::uint32_t present = counters->slots[at].key.load(std::memory_order_relaxed);
    if (present == key || present == 0) break;
    ++at;
  }
  Counters::Slot& entry = counters->slots[at];
  if (entry.key.load(std::memory_order_relaxed) == 0) {
    entry.key.store(key, std::memory_order_relaxed);
  }
  add(entry.count, 1);
  counters->duration.count(kBoundsMicroseconds,
                           static_cast<std::uint64_t>(request.duration.count()));
  if (in_detail()) count_detail(*counters, at, request);
}

void RouteMetrics::count_detail(Counters& counters, std::size_t slot,
                                const CountedRequest& request) {
  std::atomic<RequestCounters*>& place = (*counters.details.load(std::memory_order_relaxed))[slot];
  RequestCounters* detail = place.load(std::memory_order_relaxed);
  if (detail == nullptr) {
    detail = new RequestCounters();
    place.store(detail, std::memory_order_release);
  }
  count_time(detail->duration, request.duration);
  count_time(detail->connect, request.connect);
  count_time(detail->header, request.header);
  count_time(detail->response, request.response);
  detail->request_bytes.count(kNginxBytes, request.request_bytes);
  detail->response_bytes.count(kNginxBytes, request.response_bytes);
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

// Of all numbers whose labels differ in the path alone.
struct RouteMetrics::Sums {
  std::map<std::uint32_t, std::uint64_t> counts;
  HistogramSum<kBoundsMicroseconds.size()> duration;
};

void RouteMetrics::sum(std::uint32_t id, Sums& sums) const {
  for_each_worker(id, [&sums](const Counters& counters) {
    for (const auto& entry : counters.slots) {
      if (const std::uint32_t key = entry.key.load(std::memory_order_relaxed); key != 0) {
        sums.counts[key] += entry.count.load(std::memory_order_relaxed);
      }
    }
    sums.duration.add(counters.duration);
  });
}

std::uint64_t RouteMetrics::requests() const {
  Sums sums;
  const std::lock_guard lock(mutex_);
  for (const auto& [labels, interned] : interned_) sum(interned.id, sums);
  std::uint64_t total = 0;
  for (const auto& [key, count] : sums.counts) total += count;
  return total;
}

void RouteMetrics::write_route(std::string& requests, std::string& durations,
                               const RouteLabels& labels, const Sums& sums) {
  if (sums.counts.empty()) return;
  const std::string common = "host=\"" + escape_label(labels.host) + "\",ingress=\"" +
                             escape_label(labels.ingress) + "\",namespace=\"" +
                             escape_label(labels.ns) + "\",service=\"" +
                             escape_label(labels.service) + "\"";
  for (const auto& [key, count] : sums.counts) {
    requests.append("handfast_requests_total{").append(common).append(",method=\"");
    requests.append(kMethods[key >> 16]).append("\",status=\"");
    requests.append(std::to_string(key & 0xffff))
        .append("\"} ")
        .append(std::to_string(count))
        .append("\n");
  }
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < sums.duration.buckets.size(); ++i) {
    total += sums.duration.buckets[i];
    durations.append("handfast_request_duration_seconds_bucket{").append(common).append(",le=\"");
    durations.append(i < kBounds.size() ? kBounds[i] : "+Inf").append("\"} ");
    durations.append(std::to_string(total)).append("\n");
  }
  char seconds[40];
  std::snprintf(seconds, sizeof seconds, "%.6f", static_cast<double>(sums.duration.sum) / 1e6);
  durations.append("handfast_request_duration_seconds_sum{")
      .append(common)
      .append("} ")
      .append(seconds);
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
    // The paths of one set of labels lie together.
    for (auto at = interned_.begin(); at != interned_.end();) {
      const RouteLabels& labels = at->first;
      Sums sums;
      for (; at != interned_.end() && same_but_for_path(at->first, labels); ++at) {
        sum(at->second.id, sums);
      }
      write_route(out, durations, labels, sums);
    }
  }
  out.append(
      "# HELP handfast_request_duration_seconds From a request's head to the end of its response.\n"
      "# TYPE handfast_request_duration_seconds histogram\n");
  out.append(durations);
}

}  // namespace handfast::server
