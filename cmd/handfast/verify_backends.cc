#include "cmd/handfast/verify_backends.h"

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cmd/handfast/backends.h"
#include "cmd/handfast/facts.h"
#include "cmd/handfast/manifests.h"
#include "cmd/handfast/outcome.h"
#include "cmd/handfast/version.h"
#include "proxy/base/clock.h"
#include "proxy/base/process.h"
#include "proxy/config/control.h"
#include "proxy/http/authority.h"
#include "proxy/server/materials.h"
#include "proxy/server/snapshot_builder.h"
#include "proxy/upstream/dns_client.h"
#include "proxy/upstream/probe.h"
#include "proxy/upstream/resolver.h"

namespace handfast {
namespace {

constexpr int kPassed = 0;
constexpr int kFailed = 1;
constexpr int kUnusable = 2;

constexpr std::string_view kOffline =
    "\nOn files, without a connection:\n"
    "  handfast verify --chain FILE --ca FILE [--crl FILE]... [--name NAME]... [--time RFC3339]\n"
    "                  [--depth N]\n";

Outcome unasked(Backend backend, Error why) {
  Outcome outcome{.backend = std::move(backend), .address = {}, .seen = {}};
  outcome.address = outcome.backend.endpoint();
  outcome.seen.verdict = std::move(why);
  return outcome;
}

// Names as the proxy resolves them. Any thread.
class Names {
 public:
  explicit Names(const Clock& clock) : clock_(clock) {}

  [[nodiscard]] Result<std::vector<net::Address>> resolve(const std::string& name,
                                                          std::uint16_t port,
                                                          std::chrono::milliseconds timeout) {
    upstream::Resolver* const resolver = start();
    if (resolver == nullptr) return fail(Reason::NoEndpoints, name + ": names can't be resolved");
    auto answer = std::make_shared<std::promise<upstream::Addresses>>();
    auto coming = answer->get_future();
    upstream::Addresses addresses = resolver->lookup(
        name, port, [answer](upstream::Addresses found) { answer->set_value(std::move(found)); });
    if (addresses == nullptr && coming.wait_for(timeout) == std::future_status::ready) {
      addresses = coming.get();
    }
    if (addresses == nullptr || addresses->empty()) {
      return fail(Reason::NoEndpoints,
                  name + ": DNS names no address that the proxy would connect to");
    }
    return *addresses;
  }

 private:
  // Most manifests name nobody outside: then no thread asks DNS.
  upstream::Resolver* start() {
    const std::lock_guard lock(mutex_);
    if (resolver_ == nullptr) {
      auto dns = upstream::DnsClient::create({});
      if (!dns) return nullptr;
      resolver_ = std::make_unique<upstream::Resolver>(
          clock_, [client = dns->get()](const std::string& name,
                                        std::function<void(upstream::NameAnswer)> answered) {
            client->ask(name, std::move(answered));
          });
      dns_ = std::move(*dns);
    }
    return resolver_.get();
  }

  const Clock& clock_;
  std::mutex mutex_;
  std::unique_ptr<upstream::Resolver> resolver_;
  std::unique_ptr<upstream::DnsClient> dns_;  // ends first: it answers the resolver
};

struct Limits {
  std::chrono::milliseconds timeout{10'000};
  std::size_t jobs = 16;
};

std::vector<Outcome> ask(upstream::Prober& prober, Names& names, const Backend& backend,
                         const Limits& limits) {
  if (backend.refused) return {unasked(backend, *backend.refused)};
  if (!backend.tls) {
    Outcome outcome = unasked(backend, {Reason::Ok, {}});
    outcome.plain = true;
    return {std::move(outcome)};
  }
  std::vector<net::Address> addresses;
  if (auto literal = net::Address::from_ip(backend.host, backend.port); literal) {
    addresses.push_back(*literal);
  } else {
    auto found = names.resolve(backend.host, backend.port, limits.timeout);
    if (!found) return {unasked(backend, found.error())};
    addresses = std::move(*found);
  }
  std::vector<Outcome> outcomes;
  for (const net::Address& address : addresses) {
    Outcome outcome{.backend = backend, .address = address.to_string(), .seen = {}};
    outcome.seen = prober.run(address, backend.policy, backend.wire, limits.timeout);
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

// Many at a time, in the order in which they were given.
std::vector<Outcome> ask_all(const std::vector<Backend>& backends, const Limits& limits,
                             const Clock& clock) {
  std::vector<std::vector<Outcome>> found(backends.size());
  std::atomic<std::size_t> next{0};
  Names names(clock);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(limits.jobs, backends.size()); ++i) {
    threads.emplace_back([&found, &next, &names, &backends, &limits, &clock] {
      upstream::Prober prober(clock);
      for (std::size_t at = next++; at < backends.size(); at = next++) {
        found[at] = ask(prober, names, backends[at], limits);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<Outcome> outcomes;
  for (auto& some : found) std::ranges::move(some, std::back_inserter(outcomes));
  return outcomes;
}

enum class Form : std::uint8_t { Lines, Trees, Json };

int print(const std::vector<Outcome>& outcomes, Form form, UnixSeconds now) {
  Facts::List list;
  for (const Outcome& outcome : outcomes) {
    if (form == Form::Lines) {
      std::puts(outcome_line(outcome).c_str());
    } else if (form == Form::Trees) {
      std::fputs(outcome_facts(outcome, now).to_text().c_str(), stdout);
      std::fputs("\n", stdout);
    } else {
      list.push_back(outcome_facts(outcome, now));
    }
  }
  if (form == Form::Json) {
    Facts all;
    all.add("summary", summary_facts(outcomes)).add("backends", std::move(list));
    std::puts(all.to_json().c_str());
  } else {
    std::puts(summary_line(outcomes).c_str());
  }
  return std::ranges::all_of(outcomes, &Outcome::ok) ? kPassed : kFailed;
}

// A file of the command line as the proxy's loader takes it.
std::string absolute(const std::string& path) {
  std::error_code error;
  return std::filesystem::absolute(path, error).string();
}

// What the flags say, as the policy of a Service would.
Result<config::UpstreamTls> read_rules(const ParsedOptions& parsed, std::string_view host) {
  config::UpstreamTls rules;
  if (parsed.text("ca") == "system") {
    rules.system_ca = true;
  } else {
    rules.ca.push_back({absolute(parsed.text("ca")), parsed.text("ca")});
  }
  for (const std::string& path : parsed.list("crl")) rules.crl.push_back({absolute(path), path});
  if (!rules.crl.empty()) rules.revocation = config::RevocationScope::Chain;
  const std::string& certificate = parsed.text("cert");
  // A PKCS#12 file has both.
  const std::string& key = certificate.ends_with(".p12") ? certificate : parsed.text("key");
  const std::string& passphrases = parsed.text("passphrases");
  if (certificate.empty() != key.empty() || (certificate.empty() && !passphrases.empty())) {
    return fail(Reason::InvalidValue, "--cert and --key belong together");
  }
  if (!certificate.empty()) {
    rules.identity =
        config::KeyPairRef{.certificate = absolute(certificate),
                           .key = absolute(key),
                           .source = certificate,
                           .passphrases = passphrases.empty() ? "" : absolute(passphrases)};
  }
  rules.names = parsed.list("name");
  if (rules.names.empty()) rules.names.emplace_back(host);
  const auto dns = std::ranges::find_if(rules.names, [](const std::string& name) {
    return name.find(':') == std::string::npos && !net::Address::from_ip(name, 1);
  });
  if (dns != rules.names.end()) rules.sni = *dns;
  rules.verify_depth = static_cast<std::uint8_t>(parsed.number("depth"));
  rules.versions = {config::TlsVersion::Tls12, config::TlsVersion::Tls13};
  return rules;
}

// As the C library resolves it: a person at a terminal may well mean localhost.
Result<std::vector<net::Address>> look_up(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* first = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &first); error != 0) {
    return fail(Reason::NoEndpoints, host + ": " + ::gai_strerror(error));
  }
  std::vector<net::Address> found;
  for (const addrinfo* one = first; one != nullptr; one = one->ai_next) {
    found.push_back(net::Address::from_sockaddr(one->ai_addr, one->ai_addrlen));
  }
  ::freeaddrinfo(first);
  return found;
}

int usage_error(const Error& error) {
  std::fprintf(stderr, "handfast verify: %s\n", error.detail.c_str());
  return kUnusable;
}

int verify_bare(const ParsedOptions& parsed, const Limits& limits, const Clock& clock) {
  const std::string& wanted = parsed.positionals().front();
  const auto authority = http::parse_authority(wanted);
  if (!authority || authority->port.empty()) {
    return usage_error({Reason::InvalidValue, wanted + ": with --ca, HOST:PORT is expected"});
  }
  std::string host(authority->host);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  const auto rules = read_rules(parsed, host);
  if (!rules) return usage_error(rules.error());

  Backend backend{
      .object = "flags", .service = {}, .host = host, .tls = true, .refused = {}, .change = {}};
  backend.rules = &*rules;
  server::Materials materials("", clock);
  config::Rejection rejection;
  auto policy = server::make_policy(*rules, materials, rejection);
  if (!policy && policy.error().reason == Reason::Io) return usage_error(policy.error());
  std::vector<Backend> backends;
  if (!policy) {
    backend.refused = policy.error();
  } else {
    backend.policy = *policy;
    if (const Status usable = backend.policy->usable(clock.unix_now()); !usable) {
      backend.refused = usable.error();
    }
  }
  if (!backend.refused) {
    const auto addresses = look_up(host, std::string(authority->port));
    if (!addresses) backend.refused = addresses.error();
    for (const net::Address& address : addresses ? *addresses : std::vector<net::Address>{}) {
      backend.host = address.ip();
      backend.port = address.port();
      backends.push_back(backend);
    }
  }
  if (backend.refused) backends.push_back(backend);
  return print(ask_all(backends, limits, clock), parsed.flag("json") ? Form::Json : Form::Trees,
               clock.unix_now());
}

int verify_manifests(const ParsedOptions& parsed, const Limits& limits, const Clock& clock) {
  const auto manifests = read_manifests(parsed, clock.unix_now());
  if (!manifests) return usage_error(manifests.error());
  const auto loaded = Loaded::load(manifests->output, clock);
  if (!loaded) return usage_error(loaded.error());
  const route::Snapshot& snapshot = (*loaded)->snapshot();
  const bool all = parsed.flag("all");
  const auto backends =
      all ? all_backends(*manifests, snapshot, clock.unix_now())
          : find_backends(*manifests, snapshot, parsed.positionals().front(), clock.unix_now());
  if (backends.empty()) {
    std::fprintf(stderr, "handfast verify: no Ingress of ours leads to %s\n",
                 all ? "any backend" : parsed.positionals().front().c_str());
    return kFailed;
  }
  const Form form = parsed.flag("json") ? Form::Json : (all ? Form::Lines : Form::Trees);
  return print(ask_all(backends, limits, clock), form, clock.unix_now());
}

}  // namespace

int verify_backends_command(int argc, const char* const* argv) {
  OptionSet options{"handfast verify",
                    "does the proxy's handshake with backends, and explains what comes of it"};
  options.set_positionals("SERVICE|HOST:PORT|--all", 0, 1);
  options.add_flag("all", "every backend of the manifests, one line each");
  options.add_duration("timeout", "10s", "for connecting to an endpoint and the handshake");
  options.add_number("jobs", 16, 1, 256, "handshakes at a time");
  options.add_text("ca", "FILE", "", "without manifests: whom to believe, PEM; or `system`");
  options.add_repeated("crl", "FILE", "revocation lists, PEM or DER; repeatable");
  options.add_repeated("name", "NAME", "DNS name, IP or URI; any one is enough (HOST)");
  options.add_text("cert", "FILE", "", "our certificate and its chain, PEM or .p12");
  options.add_text("key", "FILE", "", "its key");
  options.add_text("passphrases", "FILE", "", "of the key, one a line");
  options.add_number("depth", 4, 0, 100, "intermediates allowed");
  add_manifest_flags(options);
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) return usage_error(parsed.error());
  if (parsed->help()) {
    std::fputs((options.usage() + std::string(kOffline)).c_str(), stdout);
    return 0;
  }
  if (parsed->version()) {
    print_version();
    return 0;
  }
  const bool bare = !parsed->text("ca").empty();
  if (parsed->flag("all") != parsed->positionals().empty() || (bare && parsed->flag("all"))) {
    return usage_error(
        {Reason::InvalidValue, "one of SERVICE, HOST:PORT, --all and --chain FILE is needed"});
  }
  if (bare && !parsed->list("manifests").empty()) {
    return usage_error({Reason::InvalidValue, "--ca is for a backend without --manifests"});
  }
  forbid_core_dumps();
  const SystemClock clock;
  const Limits limits{.timeout = parsed->duration("timeout"),
                      .jobs = static_cast<std::size_t>(parsed->number("jobs"))};
  return bare ? verify_bare(*parsed, limits, clock) : verify_manifests(*parsed, limits, clock);
}

}  // namespace handfast
