#pragma once
// Requests and latency per route: plain per-worker counters by a dense number, summed at a scrape.
//
// 10,000 Ingresses would cost a metrics library 55 MB and half a second a scrape; here a route
// costs nothing before its first request and ~600 bytes a worker after it. Routes with the same
// labels share a number; it lives as long as a snapshot names it, so counters go on over reloads
// and vanish with their Ingress.
//
// In detail, which only other people's dashboards need (nginx_metrics.h), each path has a number of
// its own, and each method and status of it has times and sizes: another ~800 bytes for each.
//
// Threading: count() on the worker's own counters; intern(), the lease's end and write() on any
// other thread (they share a lock). A worker counts only for numbers of a snapshot that it holds.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace handfast::server {

struct RouteLabels {
  std::string host;
  std::string ns;
  std::string ingress;
  std::string service;
  std::string path{};  // empty, but in detail
  friend auto operator<=>(const RouteLabels&, const RouteLabels&) = default;
};

// A request that was answered. The times from the first try on are negative if it came not so far.
struct CountedRequest {
  std::string_view method;
  int status = 0;
  std::chrono::microseconds duration{0};
  std::chrono::microseconds connect{-1};
  std::chrono::microseconds header{-1};
  std::chrono::microseconds response{-1};
  std::uint64_t request_bytes = 0;
  std::uint64_t response_bytes = 0;
};

class RouteMetrics {
 public:
  enum class Detail : std::uint8_t { None, OfPaths };

  // The number of requests that met no route.
  static constexpr std::uint32_t kNoRoute = 0;
  static constexpr std::size_t kChunk = 256;
  static constexpr std::size_t kMaxChunks = 1024;  // 262,144 routes; those beyond count as kNoRoute

  explicit RouteMetrics(std::size_t workers, Detail detail = Detail::None);
  ~RouteMetrics();

  [[nodiscard]] bool in_detail() const { return detail_ != Detail::None; }

  // Numbers for the labels, in their order, and what keeps them. The lease must not outlive this.
  std::shared_ptr<void> intern(const std::vector<RouteLabels>& labels,
                               std::vector<std::uint32_t>& ids);

  void count(std::size_t worker, std::uint32_t id, const CountedRequest& request);

  // handfast_requests_total and handfast_request_duration_seconds in the Prometheus text format.
  void write(std::string& out) const;
  // The request series of ingress-nginx, of routes alone; `labels` stands in each. Only in detail.
  void write_nginx(std::string& out, std::string_view labels) const;
  [[nodiscard]] std::uint64_t requests() const;

 private:
  struct Counters;
  struct RequestCounters;
  struct Sums;
  using Chunk = std::array<std::atomic<Counters*>, kChunk>;
  struct WorkerTable {
    std::array<std::atomic<Chunk*>, kMaxChunks> chunks{};
  };
  struct Interned {
    std::uint32_t id = 0;
    std::uint32_t references = 0;
  };

  [[nodiscard]] std::atomic<Counters*>* slot(WorkerTable& table, std::uint32_t id, bool make);
  void release(const std::vector<std::uint32_t>& ids);
  static void count_detail(Counters& counters, std::size_t slot, const CountedRequest& request);
  // Calls `each` with the counters of a number, worker by worker.
  template <class Each>
  void for_each_worker(std::uint32_t id, const Each& each) const;
  void sum(std::uint32_t id, Sums& sums) const;
  static void write_route(std::string& requests, std::string& durations, const RouteLabels& labels,
                          const Sums& sums);

  const Detail detail_;
  std::vector<std::unique_ptr<WorkerTable>> tables_;
  mutable std::mutex mutex_;
  std::map<RouteLabels, Interned> interned_;
  std::vector<const RouteLabels*> by_id_;  // null: free
  std::vector<std::uint32_t> free_;
};

// A label's value with '\\', '"' and newline escaped.
[[nodiscard]] std::string escape_label(std::string_view value);

}  // namespace handfast::server
