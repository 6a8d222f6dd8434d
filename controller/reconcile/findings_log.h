#pragma once
// Says each finding once in the log, when it appears, and once when it is over. Counts what is
// wrong now.
//
// Threading: one thread's.

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "controller/translate/report.h"
#include "proxy/base/reason.h"

namespace handfast::reconcile {

class FindingsLog {
 public:
  struct Change {
    std::size_t appeared = 0;
    std::size_t over = 0;
  };

  // What is no longer wrong, and what is new. A finding in both is no news.
  Change update(const translate::Report& over, const translate::Report& added);

  using Counts = std::map<std::pair<translate::Severity, Reason>, std::size_t>;
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  struct Known {
    std::string object, field, reason;
    std::size_t count = 0;
    bool is_listed = false;  // while update() runs, as the next
    std::size_t count_before = 0;
    const translate::Finding* latest = nullptr;
  };
  using Entries = std::map<std::string, Known>;

  void tell(const Known& known, Change& change);

  // By all that a person reads, but for the line: a line added above is no news.
  Entries known_;
  Counts counts_;
};

}  // namespace handfast::reconcile
