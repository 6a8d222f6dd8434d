#pragma once
// Series of ingress-nginx under its names and labels (--metrics-compatibility=ingress-nginx), so
// that dashboards and alerts that people have go on working. What it has and we have no like of is
// absent; docs/metrics.md has the list.
//
// The series of requests are told by RouteMetrics, which counts them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/route/snapshot.h"
#include "proxy/server/process_stats.h"

namespace handfast::server {

struct NginxFacts {
  ProcessStats process{};
  std::int64_t start = 0;  // Unix seconds
  std::uint64_t connections = 0;
  std::uint64_t requests_in_flight = 0;
  std::uint64_t requests = 0;
  std::uint64_t generation = 0;
  std::uint64_t loads_accepted = 0;
  std::uint64_t loads_rejected = 0;
  bool last_load_accepted = true;
  std::int64_t last_load = 0;  // Unix seconds of the last one accepted
};

// The labels that each series has: who we are, in the terms of ingress-nginx.
[[nodiscard]] std::string nginx_labels(std::string_view ns, std::string_view pod);

void write_nginx_facts(std::string& out, const NginxFacts& facts, std::string_view labels);

// When the certificates end that clients see.
void write_nginx_certificates(std::string& out, const route::Snapshot& snapshot);

}  // namespace handfast::server
