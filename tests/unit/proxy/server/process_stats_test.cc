#include "proxy/server/process_stats.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::server {
namespace {

TEST(ProcessStats, TellsWhatThisProcessUses) {
  const ProcessStats stats = read_process_stats();

  EXPECT_GT(stats.resident_bytes, 1u << 20);
  EXPECT_GT(stats.virtual_bytes, stats.resident_bytes);
  EXPECT_GE(stats.open_descriptors, 3u);
  EXPECT_GT(stats.most_descriptors, stats.open_descriptors);
}

TEST(ProcessStats, WritesTheNamesThatEveryClientHas) {
  std::string text;
  write_process_stats(text, {.cpu_seconds = 1.5, .resident_bytes = 4096}, 1'700'000'000);

  EXPECT_NE(text.find("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("process_start_time_seconds 1700000000\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace handfast::server
