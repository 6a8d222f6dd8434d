#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <set>
#include <system_error>
#include <type_traits>

#include "proxy/base/hex.h"
#include "proxy/config/external_auth_text.h"
#include "proxy/config/fields.h"
#include "proxy/config/text.h"
#include "proxy/config/validate.h"
#include "proxy/config/words.h"

namespace handfast::config {
namespace {

constexpr std::size_t kSha256HexLength = 64;
// A size must fit into a signed offset.
constexpr auto kMostBytes = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

// An unknown major version is refused; a later minor one may only say what we know, since an
// unknown field is an error.
void read_format(Fields& fields) {
  const std::string format = fields.text("format");
  const std::size_t dot = format.find('.');
  const bool digits = dot != std::string::npos && dot > 0 && dot + 1 < format.size() &&
                      format.find_first_not_of("0123456789.") == std::string::npos &&
                      format.find('.', dot + 1) == std::string::npos;
  if (!digits) {
    fields.problem("format", "must be a version like \"1.0\"");
  } else if (format.substr(0, dot) != std::to_string(kFormatMajor)) {
    fields.problem("format", "version " + format + " is not one that this build can read (" +
                                 std::to_string(kFormatMajor) + ".x)");
  }
}

template <class Enum, std::size_t kCount>
Enum word_from(Fields& fields, std::string_view name, std::string_view text,
               const Words<Enum, kCount>& words) {
  if (const auto found = find_word(words, text)) return *found;
  std::string all;
  for (const auto& [value, word] : words) all.append(all.empty() ? "" : ", ").append(word);
  fields.problem(name, "must be one of " + all);
  return words[0].first;
}

Refusal read_refusal(Fields& fields) {
  Refusal refusal;
  const auto reason = parse_reason(fields.text("reason"));
  if (!reason || *reason == Reason::Ok) fields.problem("reason", "is not a known reason word");
  refusal.reason = reason.value_or(Reason::Internal);
  refusal.detail = fields.text_or("detail", "");
  return refusal;
}

KeyPairRef read_key_pair(Fields& fields) {
  KeyPairRef pair;
  pair.certificate = fields.text("certificate");
  pair.key = fields.text("key");
  pair.source = fields.text_or("source", "");
  pair.passphrases = fields.text_or("passphrases", "");
  pair.ocsp = fields.text_or("ocsp", "");
  return pair;
}

FileRef read_file(Fields& fields) {
  FileRef file;
  file.path = fields.text("path");
  file.source = fields.text_or("source", "");
  return file;
}

// "error" sets a flag, "http_502" adds a status; which ones there may be is validate()'s to say.
void read_retry_condition(Fields& fields, std::string_view text, RetryPolicy& retry) {
  for (const auto& [member, word] : kRetryConditions) {
    if (text != word) continue;
    retry.*member = true;
    return;
  }
  std::uint16_t status = 0;
  if (text.starts_with(kStatusPrefix)) {
    const std::string_view digits = text.substr(kStatusPrefix.size());
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), status);
    if (error != std::errc{} || end != digits.data() + digits.size()) status = 0;
  }
  if (status == 0) {
    fields.problem("conditions",
                   "must hold error, timeout, invalid_header, non_idempotent or http_<status>");
    return;
  }
  retry.statuses.push_back(status);
}

RetryPolicy read_retry(Fields& fields) {
  RetryPolicy retry;
  if (fields.find_list("conditions") != nullptr) {
    retry.error = false;
    retry.timeout = false;
    for (const std::string& text : fields.texts("conditions")) {
      read_retry_condition(fields, text, retry);
    }
  }
  retry.tries = fields.number32_or("tries", 0, retry.tries);
  retry.timeout_ms = fields.number32_or("timeout_ms", 0, retry.timeout_ms);
  return retry;
}

void read_traffic(Fields& fields, Route& route) {
  const std::string http2 =
      fields.text_or("http2", std::string(word_of(kHttp2Words, default_http2(route.protocol))));
  route.http2 = word_from(fields, "http2", http2, kHttp2Words);
  route.connect_timeout_ms = fields.number32_or("connect_timeout_ms", 1, route.connect_timeout_ms);
  route.read_timeout_ms = fields.number32_or("read_timeout_ms", 1, route.read_timeout_ms);
  route.send_timeout_ms = fields.number32_or("send_timeout_ms", 1, route.send_timeout_ms);
  route.retry = fields.map("retry", read_retry).value_or(RetryPolicy{});
  const std::string balance =
      fields.text_or("load_balance", std::string(word_of(kLoadBalances, route.load_balance)));
  route.load_balance = word_from(fields, "load_balance", balance, kLoadBalances);
  route.hash_by = fields.text_or("hash_by", "");
  route.max_body_bytes = fields.number_or("max_body_bytes", 0, kMostBytes, route.max_body_bytes);
  route.request_buffering = fields.flag_or("request_buffering", false);
  route.response_buffering = fields.flag_or("response_buffering", false);
  route.max_temp_bytes = fields.number_or("max_temp_bytes", 0, kMostBytes, route.max_temp_bytes);
}

ClientAccess read_client_access(Fields& fields) {
  ClientAccess access;
  access.verify = word_from(fields, "verify", fields.text("verify"), kClientVerifies);
  access.error_page = fields.text_or("error_page", "");
  access.pass_certificate = fields.flag_or("pass_certificate", false);
  access.refused = fields.map("refused", read_refusal);
  return access;
}

SourceRanges read_source_ranges(Fields& fields) {
  SourceRanges ranges;
  ranges.denied = fields.texts("denied");
  ranges.allowed = fields.texts("allowed");
  return ranges;
}

ClientTls read_client_tls(Fields& fields) {
  ClientTls client;
  client.ca = fields.maps("ca", read_file);
  client.crl = fields.maps("crl", read_file);
  const std::string scope = fields.text_or("revocation", client.crl.empty() ? "Off" : "Chain");
  client.revocation = word_from(fields, "revocation", scope, kRevocationScopes);
  client.verify_depth = static_cast<std::uint8_t>(fields.number_or("verify_depth", 1, 255, 1));
  client.subject = fields.text_or("subject", "");
  client.names = fields.texts("names");
  client.announce = fields.flag_or("announce", true);
  return client;
}

Route read_route(Fields& fields) {
  Route route;
  route.path = fields.text("path");
  route.type = word_from(fields, "type", fields.text("type"), kPathTypes);
  route.ingress_namespace = fields.text_or("ingress_namespace", "");
  route.ingress = fields.text_or("ingress", "");
  route.service = fields.text("service");
  route.protocol = word_from(fields, "protocol", fields.text("protocol"), kBackendProtocols);
  route.upstream_tls = fields.text_or("upstream_tls", "");
  read_traffic(fields, route);
  route.ssl_redirect = fields.flag_or("ssl_redirect", false);
  route.access_log = fields.flag_or("access_log", true);
  route.sources = fields.map("sources", read_source_ranges);
  route.client = fields.map("client", read_client_access);
  route.auth = fields.map("auth", read_external_auth);
  route.refused = fields.map("refused", read_refusal);
  return route;
}

StreamRoute read_stream(Fields& fields) {
  StreamRoute route;
  route.ingress_namespace = fields.text_or("ingress_namespace", "");
  route.ingress = fields.text_or("ingress", "");
  route.service = fields.text("service");
  route.upstream_tls = fields.text_or("upstream_tls", "");
  route.send_proxy_header = fields.flag_or("send_proxy_header", false);
  route.connect_timeout_ms = fields.number32_or("connect_timeout_ms", 1, route.connect_timeout_ms);
  route.idle_timeout_ms = fields.number32_or("idle_timeout_ms", 1, route.idle_timeout_ms);
  route.retry = fields.map("retry", read_retry).value_or(RetryPolicy{});
  route.refused = fields.map("refused", read_refusal);
  return route;
}

TcpPort read_tcp(Fields& fields) {
  TcpPort tcp;
  tcp.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
  tcp.expect_proxy_header = fields.flag_or("expect_proxy_header", false);
  tcp.certificate = fields.map("certificate", read_key_pair);
  tcp.client = fields.map("client", read_client_tls);
  tcp.client_refused = fields.map("client_refused", read_refusal);
  if (auto route = fields.map("route", read_stream)) {
    tcp.route = *std::move(route);
  } else {
    fields.problem("route", kMissing);
  }
  return tcp;
}

VirtualHost read_host(Fields& fields) {
  VirtualHost host;
  host.host = fields.text("host");
  host.tls = fields.flag_or("tls", false);
  host.certificate = fields.map("certificate", read_key_pair);
  host.more_certificates = fields.maps("more_certificates", read_key_pair);
  host.certificate_problem = fields.map("certificate_problem", read_refusal);
  host.client = fields.map("client", read_client_tls);
  host.passthrough = fields.map("passthrough", read_stream);
  host.routes = fields.required_maps("routes", read_route);
  return host;
}

Endpoint read_endpoint(Fields& fields) {
  Endpoint endpoint;
  endpoint.address = fields.text("address");
  endpoint.port = static_cast<std::uint16_t>(fields.number("port", 1, 65535));
  endpoint.ready = fields.flag_or("ready", true);
  endpoint.serving = fields.flag_or("serving", true);
  endpoint.terminating = fields.flag_or("terminating", false);
  return endpoint;
}

Service read_service(Fields& fields) {
  Service service;
  service.name = fields.text("name");
  service.external_name = fields.flag_or("external_name", false);
  service.refused = fields.map("refused", read_refusal);
  service.endpoints = fields.required_maps("endpoints", read_endpoint);
  return service;
}

Pin read_pin(Fields& fields) {
  Pin pin;
  pin.type = word_from(fields, "type", fields.text("type"), kPinTypes);
  pin.sha256 = fields.text("sha256");
  return pin;
}

std::vector<TlsVersion> read_versions(Fields& fields) {
  if (fields.find_list("versions") == nullptr) return {TlsVersion::Tls12, TlsVersion::Tls13};
  std::vector<TlsVersion> versions;
  for (const std::string& version : fields.texts("versions")) {
    versions.push_back(word_from(fields, "versions", version, kTlsVersions));
  }
  return versions;
}

Candidate read_candidate(Fields& fields) {
  Candidate candidate;
  candidate.identity = fields.map("identity", read_key_pair);
  candidate.ca = fields.maps("ca", read_file);
  candidate.system_ca = fields.flag_or("system_ca", false);
  return candidate;
}

UpstreamTls read_tls(Fields& fields) {
  UpstreamTls tls;
  tls.name = fields.text("name");
  tls.identity = fields.map("identity", read_key_pair);
  tls.ca = fields.maps("ca", read_file);
  tls.system_ca = fields.flag_or("system_ca", false);
  tls.verify = fields.flag_or("verify", true);
  tls.verify_depth = static_cast<std::uint8_t>(fields.number_or("verify_depth", 1, 255, 4));
  tls.names = fields.texts("names");
  tls.pins = fields.maps("pins", read_pin);
  tls.pin_only = fields.flag_or("pin_only", false);
  tls.crl = fields.maps("crl", read_file);
  const std::string scope = fields.text_or("revocation", tls.crl.empty() ? "Off" : "Chain");
  tls.revocation = word_from(fields, "revocation", scope, kRevocationScopes);
  tls.allow_without_crl = fields.flag_or("allow_without_crl", false);
  tls.ocsp = word_from(fields, "ocsp", fields.text_or("ocsp", "Off"), kOcspWords);
  tls.require_certificate_request = fields.flag_or("require_certificate_request", false);
  tls.sni = fields.optional_text("sni");
  tls.versions = read_versions(fields);
  tls.ciphers = fields.text_or("ciphers", "");
  tls.cipher_suites = fields.text_or("cipher_suites", "");
  tls.groups = fields.text_or("groups", "");
  tls.resumption = fields.flag_or("resumption", true);
  if (fields.find("drain_ms") != nullptr) tls.drain_ms = fields.number32_or("drain_ms", 0, 0);
  if (fields.find("trust_drain_ms") != nullptr) {
    tls.trust_drain_ms = fields.number32_or("trust_drain_ms", 0, 0);
  }
  tls.max_age_ms = fields.number32_or("max_age_ms", 0, 0);
  tls.audit_until = static_cast<std::int64_t>(
      fields.number_or("audit_until", 0, std::numeric_limits<std::int64_t>::max(), 0));
  tls.candidate = fields.map("candidate", read_candidate);
  tls.refused = fields.map("refused", read_refusal);
  return tls;
}

Front read_front(Fields& fields) {
  Front front;
  front.ticket_keys = fields.maps("ticket_keys", read_file);
  front.versions = read_versions(fields);
  front.ciphers = fields.text_or("ciphers", "");
  front.groups = fields.text_or("groups", "");
  front.http2 = fields.flag_or("http2", true);
  front.session_tickets = fields.flag_or("session_tickets", true);
  front.hsts = fields.flag_or("hsts", true);
  front.hsts_max_age = fields.number32_or("hsts_max_age", 0, front.hsts_max_age);
  front.hsts_include_subdomains = fields.flag_or("hsts_include_subdomains", true);
  front.hsts_preload = fields.flag_or("hsts_preload", false);
  return front;
}

Shard read_shard(Fields& fields) {
  read_format(fields);
  const std::string kind = fields.text("kind");
  if (kind == kKindHost) return read_host(fields);
  if (kind == kKindService) return read_service(fields);
  if (kind == kKindTls) return read_tls(fields);
  if (kind == kKindTcp) return read_tcp(fields);
  if (kind == kKindFront) return read_front(fields);
  fields.problem("kind", "must be one of host, service, tls, tcp, front");
  return {};
}

std::string_view problem_of_hash(std::string_view hash) {
  if (hash.size() == kSha256HexLength && hash.find_first_not_of(kHexDigits) == hash.npos) return {};
  return "must be a sha256 in 64 lower-case hex digits";
}

bool is_shard_name(std::string_view name) {
  return name.starts_with("host/") || name.starts_with("service/") || name.starts_with("tls/") ||
         name.starts_with("tcp/") || name == "front/";
}

Bucket read_bucket(Fields& fields) {
  read_format(fields);
  if (fields.text("kind") != kKindBucket) fields.problem("kind", "must be bucket");
  Bucket bucket;
  fields.required_entries("shards", [&bucket](const std::string& name, std::string hash) {
    if (!is_shard_name(name)) return std::string_view{"is not the name of a shard"};
    const std::string_view problem = problem_of_hash(hash);
    bucket.emplace(name, std::move(hash));
    return problem;
  });
  return bucket;
}

Index read_index(Fields& fields) {
  read_format(fields);
  if (fields.text("kind") != kKindIndex) fields.problem("kind", "must be index");
  Index index;
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  index.generation = fields.number("generation", 1, kMost);
  index.time = static_cast<std::int64_t>(fields.number("time", 0, kMost));
  index.default_certificate = fields.map("default_certificate", read_key_pair);
  fields.required_entries("buckets", [&index](const std::string& name, std::string hash) {
    if (name.size() != 2 || name.find_first_not_of(kHexDigits) != name.npos) {
      return std::string_view{"must be called by two lower-case hex digits"};
    }
    const std::size_t number = 16 * kHexDigits.find(name[0]) + kHexDigits.find(name[1]);
    const std::string_view problem = problem_of_hash(hash);
    index.buckets[number] = std::move(hash);
    return problem;
  });
  return index;
}

// The shards of one list of a standalone file.
template <class Read>
void read_shards(Fields& fields, std::string_view name, Read read, std::vector<Shard>& shards) {
  auto more = fields.maps(name, [&read](Fields& one) {
    Shard shard = read(one);
    one.done();
    if (const Status valid = validate(shard, FilePaths::Relative); !valid) {
      one.problem_of_all(valid.error().detail);
    }
    return shard;
  });
  std::ranges::move(more, std::back_inserter(shards));
}

Standalone read_standalone(Fields& fields) {
  read_format(fields);
  Standalone standalone;
  standalone.default_certificate = fields.map("default_certificate", read_key_pair);
  read_shards(fields, "hosts", read_host, standalone.shards);
  read_shards(fields, "services", read_service, standalone.shards);
  read_shards(fields, "tls", read_tls, standalone.shards);
  read_shards(fields, "tcp", read_tcp, standalone.shards);
  if (Front front = read_front(fields); front != Front{}) {
    standalone.shards.emplace_back(std::move(front));
  }
  return standalone;
}

// Every Service and policy that a route names must be in the file; no shard may be there twice.
void check_references(const std::vector<Shard>& shards, Problem& problem) {
  std::set<std::string> names;
  for (const Shard& shard : shards) {
    std::string name = shard_name(shard);
    if (!names.insert(name).second) problem.set(1, name, "stands twice");
  }
  const auto check_names = [&](const Shard& shard, const auto& aim) {
    if (names.count("service/" + aim.service) == 0) {
      problem.set(1, shard_name(shard), "no service is called \"" + aim.service + "\"");
    }
    if (!aim.upstream_tls.empty() && names.count("tls/" + aim.upstream_tls) == 0) {
      problem.set(1, shard_name(shard), "no tls is called \"" + aim.upstream_tls + "\"");
    }
  };
  const auto check_route = [&](const Shard& shard, const auto& route) {
    if (!route.refused) check_names(shard, route);
  };
  for (const Shard& shard : shards) {
    if (const auto* host = std::get_if<VirtualHost>(&shard)) {
      for (const Route& route : host->routes) {
        check_route(shard, route);
        if (!route.refused && route.auth) check_names(shard, *route.auth);
      }
      if (host->passthrough) check_route(shard, *host->passthrough);
    } else if (const auto* tcp = std::get_if<TcpPort>(&shard)) {
      check_route(shard, tcp->route);
    }
  }
}

}  // namespace

Result<Shard> parse_shard(std::string_view text) {
  Result<Shard> shard = read_document(text, read_shard);
  if (!shard) return shard;
  if (Status valid = validate(*shard); !valid) return fail(std::move(valid.error()));
  return shard;
}

Result<Bucket> parse_bucket(std::string_view text) { return read_document(text, read_bucket); }

Result<Index> parse_index(std::string_view text) {
  Result<Index> index = read_document(text, read_index);
  if (!index || !index->default_certificate) return index;
  if (Status valid = validate(*index->default_certificate, FilePaths::BelowTls); !valid) {
    return within("default_certificate", std::move(valid.error()));
  }
  return index;
}

Result<Standalone> parse_standalone(std::string_view text) {
  Result<Standalone> standalone = read_document(text, read_standalone);
  if (!standalone) return standalone;
  Problem problem;
  check_references(standalone->shards, problem);
  if (problem.is_set()) return fail(problem.error());
  if (standalone->default_certificate) {
    const Status valid = validate(*standalone->default_certificate, FilePaths::Relative);
    if (!valid) return within("default_certificate", valid.error());
  }
  for (Shard& shard : standalone->shards) {
    auto* host = std::get_if<VirtualHost>(&shard);
    if (host == nullptr) continue;
    std::stable_sort(host->routes.begin(), host->routes.end(), [](const Route& a, const Route& b) {
      if (a.path.size() != b.path.size()) return a.path.size() > b.path.size();
      return a.path == b.path && a.type == PathType::Exact && b.type == PathType::Prefix;
    });
  }
  return standalone;
}

}  // namespace handfast::config
