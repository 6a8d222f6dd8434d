#pragma once
// The access log: one JSON line per exchange, never written on an event loop.
//
// Each worker has a ring that only it writes and only the writer thread reads. The writer wakes
// every 50 ms, so a line is at most that late; when the reader of the log stalls, the rings fill,
// and what doesn't fit is dropped and counted. A worker never waits.
//
// Fields: docs/access-log.md. Threading: append() on the worker's own ring; the rest any thread.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "proxy/base/log.h"
#include "proxy/base/unique_fd.h"
#include "proxy/session/record.h"

namespace handfast::server {

// Bytes from one thread to another, without a lock.
class LogRing {
 public:
  static constexpr std::size_t kSize = 1 << 20;

  // All of `line` or nothing. The producer's thread.
  bool append(std::string_view line);
  // Appends what there is to `out`, whole lines. The consumer's thread.
  std::size_t take(std::string& out);

 private:
  std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(kSize);
  alignas(64) std::atomic<std::uint64_t> written_{0};
  alignas(64) std::atomic<std::uint64_t> taken_{0};
};

class AccessLog {
 public:
  // `fd` is borrowed unless owned by the caller's UniqueFd; -1: the log is off.
  AccessLog(std::size_t workers, UniqueFd fd);
  // Writes what is queued, for at most a second.
  ~AccessLog();

  void append(std::size_t worker, const session::ExchangeRecord& record);
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool write_some();

  UniqueFd fd_;
  bool is_file_ = false;  // whose writes never wait for a reader
  std::vector<std::unique_ptr<LogRing>> rings_;
  std::vector<std::unique_ptr<char[]>> scratch_;  // one line per worker
  std::atomic<std::uint64_t> dropped_{0};
  std::string pending_;   // what was taken from the rings, of which
  std::size_t sent_ = 0;  // so much is written
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

// Of one field; a longer target or header tells nothing more, but fills the log.
inline constexpr std::size_t kMaxLogText = 2048;
// Longer than any line: 48 fields with their names.
inline constexpr std::size_t kMaxLogLine = 48 * (json_escaped_room(kMaxLogText) + 96);

// Writes the record as one line with its newline to where there is room for kMaxLogLine bytes;
// returns its end.
char* write_record(char* to, const session::ExchangeRecord& record);

}  // namespace handfast::server
