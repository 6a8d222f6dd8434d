#include "cmd/handfast/run.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "cmd/handfast/child.h"
#include "cmd/handfast/version.h"
#include "controller/fetch/crl_point.h"
#include "controller/fetch/staple_source.h"
#include "controller/translate/flags.h"
#include "proxy/base/log.h"
#include "proxy/base/options.h"

namespace handfast {
namespace {

constexpr int kUsageError = 2;
// After SIGTERM: the controller has nothing to drain.
constexpr std::chrono::seconds kControllerGrace{10};

struct Flag {
  const char* name;
  const char* placeholder;
  const char* help;
};

// The proxy's own; it knows the defaults and judges the values.
constexpr Flag kProxyFlags[] = {
    {"http", "ADDR:PORT,...", "plain listener (0.0.0.0:8080); off for none"},
    {"https", "ADDR:PORT,...", "TLS listener (0.0.0.0:8443); off for none"},
    {"metrics", "ADDR:PORT,...", "the proxy's metrics (0.0.0.0:10264); off for none"},
    {"admin", "ADDR:PORT,...", "status page (127.0.0.1:10265); off for none"},
    {"workers", "N", "threads that serve (one per usable core)"},
    {"shutdown-delay", "TIME", "after SIGTERM, go on accepting for so long (0)"},
    {"drain-timeout", "TIME", "then finish what is under way, at most so long (30s)"},
    {"public-http-port", "N", "port that clients dial for plain HTTP (80)"},
    {"public-https-port", "N", "port that clients dial for TLS (443)"},
    {"client-header-timeout", "TIME", "for the whole head of a request (60s)"},
    {"client-body-timeout", "TIME", "between two pieces of a request's body (60s)"},
    {"client-send-timeout", "TIME", "in which a client must take some of a response (60s)"},
    {"keep-alive", "TIME", "of a client connection without a request (75s)"},
    {"upstream-keepalive-timeout", "TIME", "of a backend connection without a request (60s)"},
    {"keep-alive-requests", "N", "of one client connection (1000; 0: no limit)"},
    {"max-worker-connections", "N", "connections of clients per worker (16384)"},
    {"max-worker-requests", "N", "requests under way at once per worker (32768)"},
    {"max-connections-per-endpoint", "N", "to one endpoint, per worker (0: no limit)"},
    {"max-connections-per-address", "N", "of one client, in all workers (0: no limit)"},
    {"upstream-session-resumption", "on|off", "resume TLS sessions with backends (on)"},
    {"temp-dir", "DIR", "where large bodies lie that a route buffers (/tmp)"},
    {"metrics-compatibility", "off|ingress-nginx",
     "series of ingress-nginx too, by its names (off)"},
    {"access-log", "PATH", "a file, - for stdout (the default), off for none"},
};

constexpr Flag kProxyLists[] = {
    {"proxy-protocol-from", "CIDR,...", "peers that begin with a PROXY header, and must"},
    {"proxy-real-ip-cidr", "CIDR,...", "peers whose X-Forwarded-* is believed"},
};

constexpr const char* kControllerTexts[] = {"controller-class",
                                            "ingress-class",
                                            "cluster-domain",
                                            "default-ssl-certificate",
                                            "default-backend-service",
                                            "default-upstream-ca",
                                            "session-ticket-secret",
                                            "session-ticket-rotation",
                                            "configmap",
                                            "crl-dir",
                                            "proxy-body-size",
                                            "proxy-connect-timeout",
                                            "proxy-read-timeout",
                                            "proxy-send-timeout",
                                            "proxy-next-upstream",
                                            "proxy-next-upstream-tries",
                                            "proxy-next-upstream-timeout",
                                            "tcp-services-configmap",
                                            "reserved-tcp-ports",
                                            "enable-ssl-passthrough",
                                            "proxy-stream-timeout",
                                            "proxy-stream-next-upstream",
                                            "proxy-stream-next-upstream-tries",
                                            "proxy-stream-next-upstream-timeout"};
constexpr const char* kControllerLists[] = {
    "allow-insecure-upstream", "allow-trust-drain", "upstream-verification-audit",
    "minimum-upstream-tls",    "crl-fetch",         "ocsp-stapling"};

OptionSet make_options() {
  OptionSet options{"handfast run", "serves the manifests in DIR: controller and proxy in one"};
  options.set_positionals("DIR", 1, 1);
  options.add_text("state-dir", "DIR", "",
                   "kept between runs (a temporary one, removed at the end)");
  options.add_text("control", "PATH", "", "control socket (control.sock in the state directory)");
  for (const Flag& flag : kProxyFlags) {
    options.add_text(flag.name, flag.placeholder, "", flag.help);
  }
  for (const Flag& flag : kProxyLists) options.add_list(flag.name, flag.placeholder, flag.help);
  options.add_flag("compute-full-forwarded-for",
                   "backends get the whole X-Forwarded-For of those peers");
  options.add_text("controller-metrics", "ADDR:PORT", "off", "the controller's metrics");
  translate::add_flags(options);
  fetch::add_flags(options);
  fetch::add_stapling_flag(options);
  options.add_text("session-ticket-rotation", "TIME", "",
                   "how old a ticket key gets without a Secret (12h; 0: no ring)");
  options.add_choice("log-level", {"debug", "info", "warning", "error"}, "info",
                     "of both, least level on stderr");
  return options;
}

// A fresh private directory, removed again at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() = default;
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] Status make() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    std::string name = (runtime != nullptr && *runtime == '/' ? runtime : "/tmp");
    name += "/handfast-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) {
      return fail(Reason::Io, "can't make a directory like " + name + ": " +
                                  std::generic_category().message(errno));
    }
    path_ = name;
    return {};
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<std::string> program_beside_us(const std::string& name) {
  std::array<char, PATH_MAX> self{};
  const ssize_t length = ::readlink("/proc/self/exe", self.data(), self.size());
  if (length <= 0) return fail(Reason::Io, "can't tell where this program lies");
  const std::string path(self.data(), static_cast<std::size_t>(length));
  std::string other = path.substr(0, path.rfind('/') + 1) + name;
  if (::access(other.c_str(), X_OK) != 0) {
    return fail(Reason::Io, other + " is not there; it belongs beside this program");
  }
  return other;
}

void add(std::vector<std::string>& arguments, const std::string& flag, const std::string& value) {
  arguments.push_back("--" + flag + "=" + value);
}

std::vector<std::string> proxy_arguments(const ParsedOptions& parsed, std::string program,
                                         const std::string& state, const std::string& control) {
  std::vector<std::string> arguments{std::move(program)};
  add(arguments, "state-dir", state);
  add(arguments, "control", control);
  add(arguments, "log-level", parsed.text("log-level"));
  for (const Flag& flag : kProxyFlags) {
    if (parsed.was_set(flag.name)) add(arguments, flag.name, parsed.text(flag.name));
  }
  for (const Flag& flag : kProxyLists) {
    for (const std::string& value : parsed.list(flag.name)) add(arguments, flag.name, value);
  }
  add(arguments, "compute-full-forwarded-for", parsed.text("compute-full-forwarded-for"));
  return arguments;
}

std::vector<std::string> controller_arguments(const ParsedOptions& parsed, std::string program,
                                              const std::string& state,
                                              const std::string& control) {
  std::vector<std::string> arguments{std::move(program)};
  add(arguments, "manifests", parsed.positionals().front());
  add(arguments, "state-dir", state);
  add(arguments, "control", control);
  add(arguments, "log-level", parsed.text("log-level"));
  // Said even if off: the environment's HANDFAST_METRICS is the proxy's.
  add(arguments, "metrics", parsed.text("controller-metrics"));
  add(arguments, "watch-ingress-without-class", parsed.text("watch-ingress-without-class"));
  for (const char* flag : kControllerTexts) {
    if (parsed.was_set(flag)) add(arguments, flag, parsed.text(flag));
  }
  for (const char* flag : kControllerLists) {
    for (const std::string& value : parsed.list(flag)) add(arguments, flag, value);
  }
  return arguments;
}

// Both children, until a signal or a usage error of theirs.
class Supervisor {
 public:
  Supervisor(Child proxy, Child controller, const sigset_t& signals)
      : proxy_(std::move(proxy)), controller_(std::move(controller)), signals_(signals) {}

  int run() {
    // The controller first, so that the proxy finds a generation soon.
    for (Child* child : {&controller_, &proxy_}) {
      if (const Status started = child->start(clock_.now()); !started) {
        log(LogLevel::Error, "can't start", {{"detail", started.error().detail}});
        stop();
        return 1;
      }
    }
    while (true) {
      const int signal_number = wait_for_signal(next_restart());
      if (signal_number == SIGTERM || signal_number == SIGINT) break;
      if (signal_number == SIGHUP) proxy_.send(SIGHUP);
      reap();
      for (const Child* child : {&proxy_, &controller_}) {
        if (!child->is_running() && child->last_status() == kUsageError) {
          stop();
          return kUsageError;
        }
      }
      restart();
    }
    stop();
    return 0;
  }

 private:
  // The signal that came, or 0 when it is time for a restart.
  int wait_for_signal(std::optional<Monotonic> until) {
    if (!until) {
      int number = 0;
      return ::sigwait(&signals_, &number) == 0 ? number : 0;
    }
    const auto left =
        std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(*until - clock_.now()));
    const timespec timeout{static_cast<time_t>(left.count() / 1'000'000'000),
                           static_cast<long>(left.count() % 1'000'000'000)};
    const int number = ::sigtimedwait(&signals_, nullptr, &timeout);
    return number > 0 ? number : 0;
  }

  [[nodiscard]] std::optional<Monotonic> next_restart() const {
    const auto& a = proxy_.restart_at();
    const auto& b = controller_.restart_at();
    return a && b ? std::min(a, b) : a ? a : b;
  }

  void reap() {
    for (Child* child : {&proxy_, &controller_}) {
      int status = 0;
      if (!child->is_running() || ::waitpid(child->pid(), &status, WNOHANG) != child->pid()) {
        continue;
      }
      child->ended(status, clock_.now());
      log(LogLevel::Warning, "a child ended",
          {{"program", child->name()}, {"status", std::to_string(child->last_status())}});
    }
  }

  void restart() {
    const Monotonic now = clock_.now();
    for (Child* child : {&controller_, &proxy_}) {
      if (!child->restart_at() || now < *child->restart_at()) continue;
      if (const Status started = child->start(now); !started) {
        log(LogLevel::Error, "can't start again", {{"detail", started.error().detail}});
      }
    }
  }

  // The proxy drains first: a revocation must reach it to the end.
  void stop() {
    end(proxy_, std::nullopt);
    end(controller_, clock_.now() + kControllerGrace);
  }

  // A second signal while we wait ends it at once.
  void end(Child& child, std::optional<Monotonic> until) {
    child.send(SIGTERM);
    while (child.is_running()) {
      const int signal_number = wait_for_signal(until);
      const bool impatient = signal_number == SIGTERM || signal_number == SIGINT;
      if (impatient || (until && clock_.now() >= *until)) child.send(SIGKILL);
      if (until && clock_.now() >= *until) until.reset();
      int status = 0;
      if (::waitpid(child.pid(), &status, WNOHANG) == child.pid()) {
        child.ended(status, clock_.now());
      }
    }
  }

  SystemClock clock_;
  Child proxy_;
  Child controller_;
  const sigset_t signals_;
};

sigset_t block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

Result<int> run(const ParsedOptions& parsed) {
  auto proxy = program_beside_us("handfast-proxy");
  if (!proxy) return fail(std::move(proxy.error()));
  auto controller = program_beside_us("handfast-controller");
  if (!controller) return fail(std::move(controller.error()));

  TemporaryDirectory temporary;
  std::string state = parsed.text("state-dir");
  if (state.empty()) {
    if (Status made = temporary.make(); !made) return fail(std::move(made.error()));
    state = temporary.path();
  } else if (::mkdir(state.c_str(), 0700) != 0 && errno != EEXIST) {
    // Made here already, for the proxy puts its control socket there.
    return fail(Reason::Io, "can't make the state directory " + state + ": " +
                                std::generic_category().message(errno));
  }
  std::string control = parsed.text("control");
  if (control.empty()) control = state + "/control.sock";

  // Of another way to start them.
  ::unsetenv("HANDFAST_CONFIG");
  Supervisor supervisor{
      Child{"handfast-proxy", proxy_arguments(parsed, std::move(*proxy), state, control)},
      Child{"handfast-controller",
            controller_arguments(parsed, std::move(*controller), state, control)},
      block_signals()};
  return supervisor.run();
}

}  // namespace

int run_command(int argc, const char* const* argv) {
  const OptionSet options = make_options();
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) {
    std::fprintf(stderr, "handfast run: %s\n", parsed.error().detail.c_str());
    return kUsageError;
  }
  if (parsed->help()) {
    std::fputs(options.usage().c_str(), stdout);
    return 0;
  }
  if (parsed->version()) {
    print_version();
    return 0;
  }
  const auto status = run(*parsed);
  if (!status) {
    std::fprintf(stderr, "handfast run: %s\n", status.error().detail.c_str());
    return 1;
  }
  return *status;
}

}  // namespace handfast
