#include "cmd/handfast/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "proxy/base/log.h"

namespace handfast {
namespace {

constexpr std::chrono::milliseconds kFirstBackoff{200};
constexpr std::chrono::milliseconds kMostBackoff{5'000};
constexpr std::chrono::seconds kLivedWell{10};
// What a shell answers for a program that can't be run.
constexpr int kCantRun = 127;

}  // namespace

Status Child::start(Monotonic now) {
  std::vector<char*> argv;
  argv.reserve(arguments_.size() + 1);
  for (std::string& argument : arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);

  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    restart_at_ = now + kMostBackoff;
    return fail(Reason::Io, "can't start " + name_ + ": " + std::generic_category().message(errno));
  }
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    // We may have died before that was set.
    if (::getppid() != parent) ::_exit(kCantRun);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(argv.front(), argv.data());
    ::_exit(kCantRun);
  }
  pid_ = pid;
  started_ = now;
  restart_at_.reset();
  return {};
}

void Child::ended(int status, Monotonic now) {
  last_status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  pid_ = 0;
  backoff_ = now - started_ >= kLivedWell || backoff_.count() == 0
                 ? kFirstBackoff
                 : std::min(2 * backoff_, kMostBackoff);
  restart_at_ = now + backoff_;
}

void Child::send(int signal_number) const {
  if (pid_ != 0) ::kill(pid_, signal_number);
}

}  // namespace handfast
