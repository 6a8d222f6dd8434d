#include "controller/translate/flags.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "controller/translate/traffic_values.h"

namespace handfast::translate {
namespace {

constexpr auto kMost32 = std::numeric_limits<std::uint32_t>::max();

// An optional "namespace/name" flag; empty: none.
Status read_name(const ParsedOptions& parsed, std::string_view flag,
                 std::optional<NamespacedName>& name) {
  const std::string& text = parsed.text(flag);
  if (text.empty()) return {};
  auto read = parse_namespaced_name(text);
  if (!read) return within("--" + std::string(flag), std::move(read.error()));
  name = std::move(*read);
  return {};
}

Status read_patterns(const ParsedOptions& parsed, std::string_view flag,
                     std::vector<std::string>& patterns) {
  for (const std::string& pattern : parsed.list(flag)) {
    if (Status good = check_object_pattern(pattern); !good) {
      return within("--" + std::string(flag), std::move(good.error()));
    }
    patterns.push_back(pattern);
  }
  return {};
}

void add_traffic_flags(OptionSet& options) {
  options.add_text("proxy-body-size", "SIZE", "1m",
                   "largest request body, like 8m; 0 for no limit");
  options.add_duration("proxy-connect-timeout", "5s", "for connecting to an endpoint");
  options.add_duration("proxy-read-timeout", "60s", "between two reads from an endpoint");
  options.add_duration("proxy-send-timeout", "60s", "between two writes to an endpoint");
  options.add_text("proxy-next-upstream", "WORDS", "error timeout",
                   "when another endpoint is tried; off for never");
  options.add_number("proxy-next-upstream-tries", 3, 0, kMost32,
                     "endpoints tried for one request; 0 for no limit");
  options.add_duration("proxy-next-upstream-timeout", "0",
                       "no further try after this; 0 for no limit");
}

void add_stream_flags(OptionSet& options) {
  options.add_text("tcp-services-configmap", "NS/NAME", "",
                   "ConfigMap of TCP ports: \"9000\": ns/svc:port[:PROXY[:PROXY]]");
  options.add_text("reserved-tcp-ports", "PORT,...", "8080,8443,9443,10254,10264,10265",
                   "not for TCP services");
  options.add_flag("enable-ssl-passthrough", "the annotation ssl-passthrough may be used");
  options.add_duration("proxy-stream-timeout", "600s", "of a relayed connection without a byte");
  options.add_choice("proxy-stream-next-upstream", {"true", "false"}, "true",
                     "another endpoint, if one can't be reached");
  options.add_number("proxy-stream-next-upstream-tries", 3, 0, kMost32,
                     "endpoints tried for one connection; 0 for no limit");
  options.add_duration("proxy-stream-next-upstream-timeout", "600s",
                       "no further try after this; 0 for no limit");
}

Status read_milliseconds(const ParsedOptions& parsed, std::string_view flag, std::int64_t least,
                         std::uint32_t& value) {
  const std::int64_t read = parsed.duration(flag).count();
  if (read < least || read > std::int64_t{kMost32}) {
    return fail(Reason::InvalidValue, "--" + std::string(flag) + ": must be " +
                                          (least > 0 ? "1ms" : "0") + " to 49 days");
  }
  value = static_cast<std::uint32_t>(read);
  return {};
}

Status read_traffic_flags(const ParsedOptions& parsed, TrafficDefaults& traffic) {
  const auto size = parse_size(parsed.text("proxy-body-size"));
  if (!size) return within("--proxy-body-size", size.error());
  traffic.max_body_bytes = *size;
  if (const auto read = parse_next_upstream(parsed.text("proxy-next-upstream"), traffic.retry);
      !read) {
    return within("--proxy-next-upstream", read.error());
  }
  traffic.retry.tries = static_cast<std::uint32_t>(parsed.number("proxy-next-upstream-tries"));

  Status read = read_milliseconds(parsed, "proxy-connect-timeout", 1, traffic.connect_timeout_ms);
  if (read) read = read_milliseconds(parsed, "proxy-read-timeout", 1, traffic.read_timeout_ms);
  if (read) read = read_milliseconds(parsed, "proxy-send-timeout", 1, traffic.send_timeout_ms);
  if (read) {
    read = read_milliseconds(parsed, "proxy-next-upstream-timeout", 0, traffic.retry.timeout_ms);
  }
  return read;
}

Status read_ports(const std::string& text, std::vector<std::uint16_t>& ports) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(','));
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (error != std::errc{} || end != word.data() + word.size() || port == 0) {
      return fail(Reason::InvalidValue, "--reserved-tcp-ports: must be port numbers with commas");
    }
    ports.push_back(port);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  return {};
}

Status read_stream_flags(const ParsedOptions& parsed, Options& options) {
  Status read = read_name(parsed, "tcp-services-configmap", options.tcp_services);
  if (read) read = read_ports(parsed.text("reserved-tcp-ports"), options.reserved_tcp_ports);
  options.enable_ssl_passthrough = parsed.flag("enable-ssl-passthrough");
  StreamDefaults& streams = options.streams;
  const bool next = parsed.text("proxy-stream-next-upstream") == "true";
  streams.retry.error = streams.retry.timeout = next;
  streams.retry.tries =
      static_cast<std::uint32_t>(parsed.number("proxy-stream-next-upstream-tries"));
  if (read) read = read_milliseconds(parsed, "proxy-stream-timeout", 1, streams.idle_timeout_ms);
  if (read) {
    read = read_milliseconds(parsed, "proxy-stream-next-upstream-timeout", 0,
                             streams.retry.timeout_ms);
  }
  return read;
}

}  // namespace

void add_flags(OptionSet& options) {
  const Options defaults;
  options.add_text("controller-class", "NAME", defaults.controller_name,
                   "controller of our classes");
  options.add_text("ingress-class", "NAME", defaults.ingress_class,
                   "our value of kubernetes.io/ingress.class");
  options.add_flag("watch-ingress-without-class", "Ingresses without a class are ours too");
  options.add_text("cluster-domain", "DOMAIN", defaults.cluster_domain,
                   "used in the names that backends must prove");
  options.add_text("default-ssl-certificate", "NS/NAME", "", "Secret of the default certificate");
  options.add_text("session-ticket-secret", "NS/NAME", "",
                   "Secret of session ticket keys: ticket.key, ticket.key.1, …");
  options.add_text("configmap", "NS/NAME", "", "ConfigMap with keys of ingress-nginx's");
  options.add_text("default-backend-service", "NS/NAME", "",
                   "Service for what no Ingress routes (first port)");
  add_traffic_flags(options);
  add_stream_flags(options);
  options.add_text("crl-dir", "DIR", "", "CRLs that hold for everybody: who is in one is refused");
  options.add_text("default-upstream-ca", "REF", "",
                   "secret:ns/name, configmap:ns/name or system, if no CA is given");
  options.add_list("allow-insecure-upstream", "NS/NAME",
                   "Ingresses and policies that may go unverified");
  options.add_list("allow-trust-drain", "NS/NAME",
                   "policies whose connections may outlive their trust");
  options.add_list("upstream-verification-audit", "NS/NAME@DATE",
                   "verification only counts, until DATE");
  options.add_repeated("minimum-upstream-tls", "SPEC",
                       "[NS=]none|server|mutual[,min-version=1.3][,crl]");
}

Result<Options> read_flags(const ParsedOptions& parsed) {
  Options options;
  options.controller_name = parsed.text("controller-class");
  options.ingress_class = parsed.text("ingress-class");
  options.crl_directory = parsed.text("crl-dir");
  options.watch_ingress_without_class = parsed.flag("watch-ingress-without-class");
  options.cluster_domain = parsed.text("cluster-domain");
  for (const char* flag : {"controller-class", "ingress-class", "cluster-domain"}) {
    if (parsed.text(flag).empty()) {
      return fail(Reason::InvalidValue, "--" + std::string(flag) + ": must not be empty");
    }
  }
  Status read = read_name(parsed, "default-ssl-certificate", options.default_certificate);
  if (read) read = read_name(parsed, "session-ticket-secret", options.session_tickets);
  if (read) read = read_name(parsed, "configmap", options.config_map);
  if (read) read = read_name(parsed, "default-backend-service", options.default_backend);
  if (!read) return fail(std::move(read.error()));

  read = read_traffic_flags(parsed, options.traffic);
  if (read) read = read_stream_flags(parsed, options);
  if (!read) {
    return fail(std::move(read.error()));
  }
  if (const std::string& text = parsed.text("default-upstream-ca"); !text.empty()) {
    auto ca = parse_default_ca(text);
    if (!ca) return within("--default-upstream-ca", std::move(ca.error()));
    options.default_upstream_ca = std::move(*ca);
  }
  read = read_patterns(parsed, "allow-insecure-upstream", options.allow_insecure_upstream);
  if (read) read = read_patterns(parsed, "allow-trust-drain", options.allow_trust_drain);
  if (!read) return fail(std::move(read.error()));
  for (const std::string& spec : parsed.list("upstream-verification-audit")) {
    auto audit = parse_verification_audit(spec);
    if (!audit) return within("--upstream-verification-audit", std::move(audit.error()));
    options.verification_audits.push_back(std::move(*audit));
  }
  for (const std::string& spec : parsed.list("minimum-upstream-tls")) {
    auto floor = parse_floor(spec);
    if (!floor) return within("--minimum-upstream-tls", std::move(floor.error()));
    options.minimum_upstream_tls.push_back(std::move(*floor));
  }
  return options;
}

}  // namespace handfast::translate
