// handfast-proxy: serves traffic by the files of a state directory. Parses options, builds, runs.

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/log.h"
#include "proxy/base/options.h"
#include "proxy/base/process.h"
#include "proxy/http/h2_codec.h"
#include "proxy/pki/library.h"
#include "proxy/server/nginx_metrics.h"
#include "proxy/server/server.h"
#include "proxy/tls/record_buffers.h"

namespace {

using handfast::OptionSet;
using handfast::ParsedOptions;

// Cores that we may really use: the cgroup's quota if it has one, else what the scheduler gives us.
std::size_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::size_t cores =
      ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<std::size_t>(CPU_COUNT(&set)) : 1;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) {
    cores =
        std::min(cores, static_cast<std::size_t>(std::max(1.0, std::stod(quota) / period + 0.5)));
  }
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double allowed = 0;
  if (v1_quota >> allowed && v1_period >> period && allowed > 0 && period > 0) {
    cores = std::min(cores, static_cast<std::size_t>(std::max(1.0, allowed / period + 0.5)));
  }
  return std::max<std::size_t>(cores, 1);
}

// Key material must not end in a core dump, nor be read by another process of the same user.
void protect_memory() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0);
}

// As many descriptors as we may have: each proxied connection takes two.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

OptionSet make_options() {
  OptionSet options("handfast-proxy", "serves traffic by the files of a state directory");
  options.add_text("state-dir", "DIR", "/run/handfast", "where the controller writes generations");
  options.add_text("config", "FILE", "",
                   "a configuration in one file instead, without a controller");
  options.add_text("control", "PATH", "",
                   "control socket (default: control.sock in the state directory)");
  options.add_text("http", "ADDR:PORT,...", "0.0.0.0:8080", "plain listener; off for none");
  options.add_text("https", "ADDR:PORT,...", "0.0.0.0:8443", "TLS listener; off for none");
  options.add_text("metrics", "ADDR:PORT,...", "0.0.0.0:10264",
                   "/metrics, /healthz, /readyz; off for none");
  options.add_text("admin", "ADDR:PORT,...", "127.0.0.1:10265",
                   "status page and state as JSON; off for none");
  options.add_number("workers", 0, 0, 1024, "threads that serve; 0: one per usable core");
  options.add_duration("shutdown-delay", "0", "after SIGTERM, go on accepting for so long");
  options.add_duration("drain-timeout", "30s", "then finish what is under way, at most so long");
  options.add_number("public-http-port", 80, 1, 65535, "port that clients dial for plain HTTP");
  options.add_number("public-https-port", 443, 1, 65535,
                     "port that clients dial for TLS, in redirects");
  options.add_list("proxy-protocol-from", "CIDR,...",
                   "peers that begin with a PROXY header, and must");
  options.add_list("proxy-real-ip-cidr", "CIDR,...", "peers whose X-Forwarded-* is believed");
  options.add_flag("compute-full-forwarded-for",
                   "backends get the whole X-Forwarded-For of those peers");
  options.add_duration("client-header-timeout", "60s", "for the whole head of a request");
  options.add_duration("client-body-timeout", "60s", "between two pieces of a request's body");
  options.add_duration("client-send-timeout", "60s",
                       "in which a client must take some of a response");
  options.add_duration("keep-alive", "75s", "of a client connection without a request");
  options.add_duration("upstream-keepalive-timeout", "60s",
                       "of a backend connection without a request");
  options.add_number("keep-alive-requests", 1000, 0, 1'000'000'000,
                     "of one client connection, then it closes; 0: no limit");
  options.add_number("max-worker-connections", 16384, 1, 10'000'000,
                     "connections of clients per worker");
  options.add_number("max-worker-requests", 32768, 1, 10'000'000,
                     "under way at once per worker; more: 503");
  options.add_number("max-connections-per-endpoint", 0, 0, 10'000'000,
                     "to one endpoint, per worker; 0: no limit");
  options.add_number("max-connections-per-address", 0, 0, 10'000'000,
                     "of one client, in all workers; 0: no limit");
  options.add_choice("upstream-session-resumption", {"on", "off"}, "on",
                     "resume TLS sessions with backends");
  options.add_choice("metrics-compatibility", {"off", "ingress-nginx"}, "off",
                     "series of ingress-nginx too, under its names");
  options.add_text("temp-dir", "DIR", "/tmp", "where large bodies lie that a route buffers");
  options.add_text("access-log", "PATH", "-", "a file, - for stdout, off for none");
  options.add_choice("log-level", {"debug", "info", "warning", "error"}, "info",
                     "least level on stderr");
  return options;
}

// In a cluster the pod's.
std::string name_of_machine() {
  std::string name = handfast::environment("POD_NAME");
  std::array<char, HOST_NAME_MAX + 1> host{};
  if (name.empty() && ::gethostname(host.data(), host.size() - 1) == 0) name = host.data();
  return name;
}

// "off", or addresses with commas between.
handfast::Result<std::vector<handfast::net::Address>> addresses_of(const ParsedOptions& parsed,
                                                                   const char* name) {
  std::vector<handfast::net::Address> addresses;
  std::string_view rest = parsed.text(name);
  if (rest == "off") return addresses;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    auto address = handfast::net::Address::parse(rest.substr(0, end));
    if (!address) return handfast::within(std::string("--") + name, address.error());
    addresses.push_back(*address);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return addresses;
}

handfast::Status read_timeouts(const ParsedOptions& parsed,
                               handfast::server::ServerOptions& options) {
  handfast::session::Limits& limits = options.limits;
  const std::pair<const char*, std::chrono::milliseconds*> timeouts[] = {
      {"client-header-timeout", &limits.head},
      {"client-body-timeout", &limits.body},
      {"client-send-timeout", &limits.send},
      {"keep-alive", &limits.keep_alive},
      {"upstream-keepalive-timeout", &options.pool_limits.idle}};
  for (const auto& [name, place] : timeouts) {
    *place = parsed.duration(name);
    if (place->count() == 0) {
      return handfast::fail(handfast::Reason::InvalidValue,
                            std::string("--") + name + ": must be longer than 0");
    }
  }
  return {};
}

handfast::Status read_limits(const ParsedOptions& parsed,
                             handfast::server::ServerOptions& options) {
  handfast::session::Limits& limits = options.limits;
  limits.public_http_port = static_cast<std::uint16_t>(parsed.number("public-http-port"));
  limits.public_https_port = static_cast<std::uint16_t>(parsed.number("public-https-port"));
  limits.temp_directory = parsed.text("temp-dir");
  limits.keep_alive_requests = parsed.number("keep-alive-requests");
  limits.worker_connections = parsed.number("max-worker-connections");
  limits.worker_requests = parsed.number("max-worker-requests");
  options.pool_limits.max_per_endpoint = parsed.number("max-connections-per-endpoint");
  options.address_connections =
      static_cast<std::uint32_t>(parsed.number("max-connections-per-address"));
  limits.trust.full_forwarded_for = parsed.flag("compute-full-forwarded-for");
  const std::pair<const char*, handfast::NetworkSet*> lists[] = {
      {"proxy-protocol-from", &limits.trust.proxy_protocol},
      {"proxy-real-ip-cidr", &limits.trust.forwarded}};
  for (const auto& [name, place] : lists) {
    auto networks = handfast::NetworkSet::parse(parsed.list(name));
    if (!networks) return handfast::within(std::string("--") + name, networks.error());
    *place = std::move(*networks);
  }
  return read_timeouts(parsed, options);
}

handfast::Result<handfast::server::ServerOptions> read_options(const ParsedOptions& parsed) {
  handfast::server::ServerOptions options;
  options.state_directory = parsed.text("state-dir");
  options.config_file = parsed.text("config");
  options.control_path = parsed.text("control");
  if (options.control_path.empty() && options.config_file.empty()) {
    options.control_path = options.state_directory + "/control.sock";
  }
  const std::pair<const char*, std::vector<handfast::net::Address>*> listeners[] = {
      {"http", &options.http},
      {"https", &options.https},
      {"metrics", &options.metrics},
      {"admin", &options.admin}};
  for (const auto& [name, place] : listeners) {
    auto addresses = addresses_of(parsed, name);
    if (!addresses) return handfast::fail(addresses.error());
    *place = std::move(*addresses);
  }
  options.workers = parsed.number("workers") == 0 ? usable_cores() : parsed.number("workers");
  options.shutdown_delay = parsed.duration("shutdown-delay");
  options.drain_timeout = parsed.duration("drain-timeout");
  options.session_resumption = parsed.text("upstream-session-resumption") == "on";
  options.access_log = parsed.text("access-log");
  options.name = name_of_machine();
  if (parsed.text("metrics-compatibility") == "ingress-nginx") {
    options.nginx_labels = handfast::server::nginx_labels(handfast::environment("POD_NAMESPACE"),
                                                          handfast::environment("POD_NAME"));
  }
  if (handfast::Status limits = read_limits(parsed, options); !limits) {
    return handfast::fail(limits.error());
  }
  return options;
}

handfast::LogLevel level_of(const std::string& name) {
  if (name == "debug") return handfast::LogLevel::Debug;
  if (name == "warning") return handfast::LogLevel::Warning;
  return name == "error" ? handfast::LogLevel::Error : handfast::LogLevel::Info;
}

}  // namespace

int main(int argc, char** argv) {
  handfast::tls::keep_record_buffers();
  handfast::pki::start_openssl();
  const OptionSet options = make_options();
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) {
    std::fprintf(stderr, "handfast-proxy: %s\n", parsed.error().detail.c_str());
    return 2;
  }
  if (parsed->help()) {
    std::fputs(options.usage().c_str(), stdout);
    return 0;
  }
  if (parsed->version()) {
    std::printf("handfast-proxy " HANDFAST_VERSION " (%s, %s)\n",
                handfast::pki::openssl_version().c_str(),
                handfast::http::nghttp2_version().c_str());
    return 0;
  }
  auto server_options = read_options(*parsed);
  if (!server_options) {
    std::fprintf(stderr, "handfast-proxy: %s\n", server_options.error().detail.c_str());
    return 2;
  }
  handfast::set_log_level(level_of(parsed->text("log-level")));
  protect_memory();
  raise_descriptor_limit();

  // Every thread inherits this; the server reads the signals from a descriptor.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  auto server = handfast::server::Server::create(std::move(*server_options));
  if (!server) {
    handfast::log(handfast::LogLevel::Error, "cannot start", {{"detail", server.error().detail}});
    return 1;
  }
  return (*server)->run();
}
