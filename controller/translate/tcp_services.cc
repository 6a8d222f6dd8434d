#include "controller/translate/tcp_services.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "controller/objects/names.h"
#include "controller/translate/client_auth.h"
#include "controller/translate/names.h"
#include "controller/translate/services.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kForm =
    "must be NAMESPACE/SERVICE:PORT[:PROXY[:PROXY]]"
    "[:TLS=NAMESPACE/SECRET[:CLIENT=NAMESPACE/SECRET]]";
constexpr std::string_view kTls = "TLS";
constexpr std::string_view kClient = "CLIENT";

// A port number as people write it: no sign, no leading zero.
std::optional<std::uint16_t> try_port(std::string_view text) {
  if (text.empty() || text.front() == '0') return std::nullopt;
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return port;
}

[[nodiscard]] tl::unexpected<Error> invalid(std::string what) {
  return fail(Reason::InvalidValue, std::move(what));
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t end = text.find(':');
    fields.push_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return fields;
    text.remove_prefix(end + 1);
  }
}

// Empty: no. In any case of letters, as ingress-nginx reads it.
Result<bool> read_proxy_word(std::string_view word) {
  if (word.empty()) return false;
  if (to_lower(word) == "proxy") return true;
  return invalid(quoted(word) + " is none of PROXY, TLS=NAMESPACE/SECRET, CLIENT=NAMESPACE/SECRET");
}

// "WORD=NAMESPACE/SECRET". False: it is something else.
Result<bool> read_secret(std::string_view field, std::string_view word,
                         std::optional<NamespacedName>& secret) {
  if (!field.starts_with(word) || !field.substr(word.size()).starts_with('=')) return false;
  auto name = parse_namespaced_name(field.substr(word.size() + 1));
  if (!name) return invalid(std::string{word} + " must name a Secret as NAMESPACE/SECRET");
  if (secret) return invalid(std::string{word} + " stands twice");
  secret = std::move(*name);
  return true;
}

Status read_further(const std::vector<std::string_view>& fields, TcpEntry& entry) {
  std::size_t words = 0;
  for (std::size_t i = 2; i < fields.size(); ++i) {
    const auto tls = read_secret(fields[i], kTls, entry.certificate);
    if (!tls) return fail(tls.error());
    const auto client = read_secret(fields[i], kClient, entry.client);
    if (!client) return fail(client.error());
    if (*tls || *client) continue;
    const auto proxy = read_proxy_word(fields[i]);
    if (!proxy) return fail(proxy.error());
    if (words == 2) return invalid(std::string{kForm});
    (words == 0 ? entry.expect_proxy_header : entry.send_proxy_header) = *proxy;
    ++words;
  }
  if (entry.client && !entry.certificate) {
    return invalid("CLIENT needs TLS: a certificate is shown in a handshake");
  }
  return {};
}

// One certificate of our own: without it there is no TLS, and plain is never served instead.
void show_certificate(const NamespacedName& ref, const std::string& field, Materials& materials,
                      ObjectReport& report, config::TcpPort& port) {
  const ItemKey key{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::KeyPair};
  const Item& item = materials.find(key);
  if (item.usable()) {
    port.certificate = materials.use_pair(key, Materials::Side::Front);
    return;
  }
  const std::string object = "Secret " + ref.ns + '/' + ref.name;
  const bool bad = item.state == Item::State::Bad;
  keep_first(port.route.refused,
             report.refuse(bad ? item.error.reason : Reason::SecretMissing, field,
                           bad ? object + ": " + clip(item.error.detail, kMaxDetailBytes)
                           : materials.exists(key) ? object + " holds no tls.crt and tls.key."
                                                   : "There is no " + object + '.',
                           "Correct the Secret, or its name; until then connections are closed."));
}

config::TcpPort make_port(const TcpEntry& entry, const objects::ConfigMap& map,
                          const std::string& field, const Options& options, Materials& materials,
                          OperatorCrls& operator_crls, ObjectReport& report, const AimStream& aim) {
  config::TcpPort port;
  port.port = entry.port;
  port.expect_proxy_header = entry.expect_proxy_header;
  port.route.ingress_namespace = map.meta.ns;
  port.route.send_proxy_header = entry.send_proxy_header;
  port.route.connect_timeout_ms = options.traffic.connect_timeout_ms;
  port.route.idle_timeout_ms = options.streams.idle_timeout_ms;
  port.route.retry = options.streams.retry;
  aim(entry.ns, entry.backend, field, report, port.route);
  if (entry.certificate) show_certificate(*entry.certificate, field, materials, report, port);
  if (!entry.client) return port;
  config::ClientTls rules;
  port.client_refused = use_client_secret(*entry.client, field, materials, report, rules);
  if (port.client_refused || !port.certificate) return port;
  operator_crls.add_to(rules);
  port.client = std::move(rules);
  return port;
}

}  // namespace

Result<TcpEntry> parse_tcp_entry(std::string_view key, std::string_view value) {
  TcpEntry entry;
  const auto port = try_port(key);
  if (!port) return invalid(quoted(key) + " is not a port number");
  entry.port = *port;
  const auto fields = split(trim(value));
  if (fields.size() < 2) return invalid(quoted(value) + ' ' + std::string{kForm});
  auto service = parse_namespaced_name(fields[0]);
  if (!service) return invalid(quoted(fields[0]) + ": " + std::string{kForm});
  entry.ns = std::move(service->ns);
  entry.backend.service = std::move(service->name);
  const bool is_number =
      !fields[1].empty() && fields[1].find_first_not_of("0123456789") == std::string_view::npos;
  if (const auto number = try_port(fields[1]); number) {
    entry.backend.port.number = *number;
  } else if (is_number) {
    return invalid(quoted(fields[1]) + " is not a port of a Service");
  } else {
    entry.backend.port.name = fields[1];
  }
  if (!objects::is_dns_label(entry.ns)) return invalid(quoted(entry.ns) + " is not a namespace");
  if (auto fault = find_name_fault(entry.backend)) return invalid(*std::move(fault));
  if (const Status read = read_further(fields, entry); !read) return fail(read.error());
  return entry;
}

std::vector<config::TcpPort> make_tcp_ports(const objects::ConfigMap& map, const Options& options,
                                            Materials& materials, OperatorCrls& operator_crls,
                                            Report& findings, const AimStream& aim) {
  ObjectReport report{findings, "ConfigMap", map.meta};
  std::vector<config::TcpPort> ports;
  for (const auto& [key, value] : map.data) {
    const std::string field = "data[" + clip(key) + ']';
    const auto entry = value.problem.empty()
                           ? parse_tcp_entry(key, value.bytes)
                           : Result<TcpEntry>(fail(Reason::InvalidValue, value.problem));
    if (!entry) {
      report.add(Severity::Error, Reason::InvalidValue, field, entry.error().detail + '.',
                 "Correct the entry; it isn't served.");
    } else if (std::ranges::find(options.reserved_tcp_ports, entry->port) !=
               options.reserved_tcp_ports.end()) {
      report.add(Severity::Error, Reason::InvalidValue, field,
                 "Port " + std::to_string(entry->port) + " is one of Handfast's own.",
                 "Take another port, or correct --reserved-tcp-ports.");
    } else {
      ports.push_back(
          make_port(*entry, map, field, options, materials, operator_crls, report, aim));
    }
  }
  std::ranges::sort(ports, {}, &config::TcpPort::port);
  return ports;
}

}  // namespace handfast::translate
