#pragma once
// What is still to be written to the API server: the newest wish for each thing, few at a time.
//
//   wanted --next()--> under way --Written--> written
//      ^                  |  \--Gone--> forgotten
//      +--- later, doubling, as the answer asks: Retry, Refused
//
// What was written isn't written again, unless it is still wanted kResend later: whoever wants it
// compares with what the API server shows, so somebody else must have altered it. A thing that
// changes while its write is under way is written again afterwards.
//
// No I/O and no waiting. Threading: one thread's.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "proxy/base/clock.h"

namespace handfast::status {

struct Write {
  std::string key;  // what is written: "status UpstreamTLSPolicy shop/orders"
  std::string method, path, content_type, body;
  bool leader_only = true;
  friend bool operator==(const Write&, const Write&) = default;
};

// Who is told what is to be written.
class Wishes {
 public:
  virtual ~Wishes() = default;
  // The newest wish for a thing counts.
  virtual void want(Write write) = 0;
  // Nothing more is to be done for it.
  virtual void forget(const std::string& key) = 0;
};

class WriteQueue {
 public:
  // Longer than a write takes to come back by a watch.
  static constexpr std::chrono::seconds kResend{10};
  static constexpr std::size_t kMostUnderWay = 4;
  static constexpr std::chrono::seconds kFirstRetry{1};
  static constexpr std::chrono::seconds kMostRetry{60};

  enum class Outcome : std::uint8_t {
    Written,
    Gone,     // the object isn't there any more
    Refused,  // not permitted, or not valid: only time can help
    Retry,    // no answer, too many requests, a server's mistake
  };

  void want(Write write, Monotonic now);
  // Nothing more is to be done for it.
  void forget(const std::string& key);

  // The next one to send. What only a leader writes waits while `leads` is false.
  [[nodiscard]] std::optional<Write> next(Monotonic now, bool leads);
  // `least`: what the server asked to wait, for Retry.
  void on_answer(const std::string& key, Outcome outcome, Monotonic now,
                 std::chrono::seconds least = {});

  // When next() may have something that it hasn't now; none: not before something changes.
  [[nodiscard]] std::optional<Monotonic> due(bool leads) const;
  // As many are under way as may be: next() waits for an answer.
  [[nodiscard]] bool is_full() const { return under_way_ >= kMostUnderWay; }
  // Nothing is wanted or under way.
  [[nodiscard]] bool is_idle() const { return under_way_ == 0 && own_.empty() && lead_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::optional<Write> wanted;
    Write last;  // under way, or written
    bool under_way = false;
    bool is_written = false;
    bool is_forgotten = false;  // while under way
    Monotonic written_at{};
    Monotonic not_before{};
    std::chrono::seconds backoff = kFirstRetry;
  };
  // Entries that are wanted and not under way, by when they may be sent.
  using Waiting = std::set<std::pair<Monotonic, std::string>>;

  void put_in_line(const std::string& key, const Entry& entry);
  void take_out_of_line(const std::string& key, const Entry& entry);
  [[nodiscard]] Waiting& line_of(const Write& write) { return write.leader_only ? lead_ : own_; }
  void purge(Monotonic now);

  std::map<std::string, Entry> entries_;
  Waiting own_, lead_;
  std::deque<std::pair<Monotonic, std::string>> written_;  // the oldest first
  std::size_t under_way_ = 0;
};

}  // namespace handfast::status
