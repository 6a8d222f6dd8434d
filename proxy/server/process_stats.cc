#include "proxy/server/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace handfast::server {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void write_one(std::string& out, std::string_view name, std::string_view type, double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  out.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  out.append(name).append(" ").append(text).append("\n");
}

}  // namespace

ProcessStats read_process_stats() {
  ProcessStats stats;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    stats.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  }
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  if (std::ifstream memory("/proc/self/statm"); memory >> total >> resident) {
    stats.virtual_bytes = total * page;
    stats.resident_bytes = resident * page;
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    ++stats.open_descriptors;
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.most_descriptors = limit.rlim_cur;
  return stats;
}

void write_process_stats(std::string& out, const ProcessStats& stats, std::int64_t start) {
  write_one(out, "process_cpu_seconds_total", "counter", stats.cpu_seconds);
  write_one(out, "process_resident_memory_bytes", "gauge",
            static_cast<double>(stats.resident_bytes));
  write_one(out, "process_virtual_memory_bytes", "gauge", static_cast<double>(stats.virtual_bytes));
  write_one(out, "process_open_fds", "gauge", static_cast<double>(stats.open_descriptors));
  write_one(out, "process_max_fds", "gauge", static_cast<double>(stats.most_descriptors));
  write_one(out, "process_start_time_seconds", "gauge", static_cast<double>(start));
}

}  // namespace handfast::server
