#pragma once
// One program that is kept running.
//
// A child that dies is started again after 0.2 s, doubling to 5 s; one that had lived for a while
// starts the count anew. It gets SIGTERM should we die first, and is in a process group of its own,
// so that Ctrl-C reaches us alone and we choose the order.
//
// Threading: one thread's; the process must have no other when start() is called.

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast {

class Child {
 public:
  // `arguments` begin with the program's path.
  Child(std::string name, std::vector<std::string> arguments)
      : name_(std::move(name)), arguments_(std::move(arguments)) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] pid_t pid() const { return pid_; }  // 0: not running
  [[nodiscard]] bool is_running() const { return pid_ != 0; }

  [[nodiscard]] Status start(Monotonic now);
  // To be called with the status that waitpid(2) gave for pid().
  void ended(int status, Monotonic now);
  void send(int signal_number) const;

  // When start() is due; nothing while it runs.
  [[nodiscard]] std::optional<Monotonic> restart_at() const { return restart_at_; }
  // Its last exit status, 128 + signal if one ended it.
  [[nodiscard]] int last_status() const { return last_status_; }

 private:
  std::string name_;
  std::vector<std::string> arguments_;
  pid_t pid_ = 0;
  Monotonic started_{};
  std::optional<Monotonic> restart_at_;
  std::chrono::milliseconds backoff_{0};
  int last_status_ = 0;
};

}  // namespace handfast
