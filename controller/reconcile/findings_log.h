#pragma once
// Says each finding once in the log, when it appears, and once when it is over.
//
// Threading: one thread's.

#include <map>
#include <string>

#include "controller/translate/report.h"

namespace handfast::reconcile {

class FindingsLog {
 public:
  struct Change {
    std::size_t appeared = 0;
    std::size_t over = 0;
  };

  // `report` is the whole list of what is wrong now.
  Change update(const translate::Report& report);

 private:
  struct Known {
    std::string object, field, reason;
    bool is_seen = false;
  };
  // By all that a person reads, but for the line: a line added above is no news.
  std::map<std::string, Known> known_;
};

}  // namespace handfast::reconcile
