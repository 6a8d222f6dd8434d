#pragma once
// What the kernel tells of this process, as every Prometheus client reports it.
//
// Threading: any thread. Errors: what can't be read is 0.

#include <cstdint>
#include <string>

namespace handfast::server {

struct ProcessStats {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_descriptors = 0;
  std::uint64_t most_descriptors = 0;
};

[[nodiscard]] ProcessStats read_process_stats();

// process_cpu_seconds_total and the like; `start` in Unix seconds.
void write_process_stats(std::string& out, const ProcessStats& stats, std::int64_t start);

}  // namespace handfast::server
