#include <string>

#include "proxy/base/hex.h"
#include "proxy/config/emit.h"
#include "proxy/config/external_auth_text.h"
#include "proxy/config/text.h"
#include "proxy/config/words.h"

namespace handfast::config {
namespace {

void header(std::string& out, std::string_view kind) {
  Lines lines{out, 0};
  lines.text("format", std::to_string(kFormatMajor) + "." + std::to_string(kFormatMinor));
  lines.text("kind", kind);
}

void append_refusal(std::string& out, int indent, std::string_view key,
                    const std::optional<Refusal>& refusal) {
  if (!refusal) return;
  Lines{out, indent}.open(key);
  Lines inner{out, indent + 2};
  inner.text("reason", to_string(refusal->reason));
  inner.text("detail", refusal->detail);
}

void append_fields(Lines& lines, const KeyPairRef& pair) {
  lines.text("certificate", pair.certificate);
  lines.text("key", pair.key);
  lines.text("source", pair.source);
  if (!pair.passphrases.empty()) lines.text("passphrases", pair.passphrases);
  if (!pair.ocsp.empty()) lines.text("ocsp", pair.ocsp);
}

void append_key_pair(std::string& out, int indent, std::string_view key,
                     const std::optional<KeyPairRef>& pair) {
  if (!pair) return;
  Lines{out, indent}.open(key);
  Lines inner{out, indent + 2};
  append_fields(inner, *pair);
}

void append_key_pairs(std::string& out, std::string_view key,
                      const std::vector<KeyPairRef>& pairs) {
  if (pairs.empty()) return;
  Lines{out, 0}.open(key);
  for (const KeyPairRef& pair : pairs) {
    Lines element{out, 4};
    element.begin_element();
    append_fields(element, pair);
  }
}

void append_files(std::string& out, int indent, std::string_view key,
                  const std::vector<FileRef>& files) {
  if (files.empty()) return;
  Lines{out, indent}.open(key);
  for (const FileRef& file : files) {
    Lines element{out, indent + 4};
    element.begin_element();
    element.text("path", file.path);
    element.text("source", file.source);
  }
}

void append_versions(std::string& out, const std::vector<TlsVersion>& versions) {
  std::vector<std::string> words;
  for (const TlsVersion version : versions) words.emplace_back(word_of(kTlsVersions, version));
  Lines{out, 0}.texts("versions", words);
}

void append_pins(std::string& out, const std::vector<Pin>& pins) {
  if (pins.empty()) return;
  Lines{out, 0}.open("pins");
  for (const Pin& pin : pins) {
    Lines element{out, 4};
    element.begin_element();
    element.text("type", word_of(kPinTypes, pin.type));
    element.text("sha256", pin.sha256);
  }
}

// Only what differs from the default: what an annotation can't say.
void append_policy_rules(std::string& out, const UpstreamTls& tls) {
  Lines lines{out, 0};
  append_pins(out, tls.pins);
  if (tls.pin_only) lines.flag("pin_only", true);
  if (tls.allow_without_crl) lines.flag("allow_without_crl", true);
  if (tls.ocsp != Ocsp::Off) lines.text("ocsp", word_of(kOcspWords, tls.ocsp));
  if (tls.require_certificate_request) lines.flag("require_certificate_request", true);
  if (!tls.cipher_suites.empty()) lines.text("cipher_suites", tls.cipher_suites);
  if (!tls.groups.empty()) lines.text("groups", tls.groups);
  if (!tls.resumption) lines.flag("resumption", false);
  if (tls.drain_ms) lines.number("drain_ms", std::uint64_t{*tls.drain_ms});
  if (tls.trust_drain_ms) lines.number("trust_drain_ms", std::uint64_t{*tls.trust_drain_ms});
  if (tls.max_age_ms != 0) lines.number("max_age_ms", std::uint64_t{tls.max_age_ms});
  if (tls.audit_until != 0) {
    lines.number("audit_until", static_cast<std::uint64_t>(tls.audit_until));
  }
}

void append_candidate(std::string& out, const std::optional<Candidate>& candidate) {
  if (!candidate) return;
  Lines{out, 0}.open("candidate");
  append_key_pair(out, 2, "identity", candidate->identity);
  append_files(out, 2, "ca", candidate->ca);
  Lines{out, 2}.flag("system_ca", candidate->system_ca);
}

void append_retry(std::string& out, int indent, const RetryPolicy& retry) {
  if (retry == RetryPolicy{}) return;
  Lines{out, indent}.open("retry");
  std::vector<std::string> conditions;
  for (const auto& [member, word] : kRetryConditions) {
    if (retry.*member) conditions.emplace_back(word);
  }
  for (const std::uint16_t status : retry.statuses) {
    conditions.push_back(std::string(kStatusPrefix) + std::to_string(status));
  }
  Lines lines{out, indent + 2};
  lines.texts("conditions", conditions);
  lines.number("tries", std::uint64_t{retry.tries});
  lines.number("timeout_ms", std::uint64_t{retry.timeout_ms});
}

// Only what differs from the default: most routes ask for nothing, and shards stay small.
void append_traffic(std::string& out, const Route& route) {
  static const Route kDefault;
  Lines lines{out, 4};
  const auto number = [&](std::string_view key, std::uint64_t value, std::uint64_t otherwise) {
    if (value != otherwise) lines.number(key, value);
  };
  if (route.http2 != default_http2(route.protocol)) {
    lines.text("http2", word_of(kHttp2Words, route.http2));
  }
  number("connect_timeout_ms", route.connect_timeout_ms, kDefault.connect_timeout_ms);
  number("read_timeout_ms", route.read_timeout_ms, kDefault.read_timeout_ms);
  number("send_timeout_ms", route.send_timeout_ms, kDefault.send_timeout_ms);
  append_retry(out, 4, route.retry);
  if (route.load_balance != kDefault.load_balance) {
    lines.text("load_balance", word_of(kLoadBalances, route.load_balance));
  }
  if (!route.hash_by.empty()) lines.text("hash_by", route.hash_by);
  number("max_body_bytes", route.max_body_bytes, kDefault.max_body_bytes);
  if (route.request_buffering) lines.flag("request_buffering", true);
  if (route.response_buffering) lines.flag("response_buffering", true);
  number("max_temp_bytes", route.max_temp_bytes, kDefault.max_temp_bytes);
}

void append_client_access(std::string& out, const Rare<ClientAccess>& access) {
  if (!access) return;
  Lines{out, 4}.open("client");
  Lines lines{out, 6};
  lines.text("verify", word_of(kClientVerifies, access->verify));
  if (!access->error_page.empty()) lines.text("error_page", access->error_page);
  if (access->pass_certificate) lines.flag("pass_certificate", true);
  append_refusal(out, 6, "refused", access->refused);
}

void append_source_ranges(std::string& out, const Rare<SourceRanges>& ranges) {
  if (!ranges) return;
  Lines{out, 4}.open("sources");
  Lines lines{out, 6};
  lines.texts("denied", ranges->denied);
  lines.texts("allowed", ranges->allowed);
}

void append_client_tls(std::string& out, const std::optional<ClientTls>& client) {
  if (!client) return;
  Lines{out, 0}.open("client");
  append_files(out, 2, "ca", client->ca);
  Lines lines{out, 2};
  lines.text("revocation", word_of(kRevocationScopes, client->revocation));
  append_files(out, 2, "crl", client->crl);
  lines.number("verify_depth", std::uint64_t{client->verify_depth});
  if (!client->subject.empty()) lines.text("subject", client->subject);
  if (!client->names.empty()) lines.texts("names", client->names);
  lines.flag("announce", client->announce);
}

void append_route(std::string& out, const Route& route) {
  Lines lines{out, 4};
  lines.begin_element();
  lines.text("path", route.path);
  lines.text("type", word_of(kPathTypes, route.type));
  lines.text("ingress_namespace", route.ingress_namespace);
  lines.text("ingress", route.ingress);
  lines.text("service", route.service);
  lines.text("protocol", word_of(kBackendProtocols, route.protocol));
  if (!route.upstream_tls.empty()) lines.text("upstream_tls", route.upstream_tls);
  append_traffic(out, route);
  lines.flag("ssl_redirect", route.ssl_redirect);
  lines.flag("access_log", route.access_log);
  append_source_ranges(out, route.sources);
  append_client_access(out, route.client);
  append_external_auth(out, 4, route.auth);
  append_refusal(out, 4, "refused", route.refused);
}

void append_stream(std::string& out, std::string_view key, const StreamRoute& route) {
  static const StreamRoute kDefault;
  Lines{out, 0}.open(key);
  Lines lines{out, 2};
  lines.text("ingress_namespace", route.ingress_namespace);
  lines.text("ingress", route.ingress);
  lines.text("service", route.service);
  if (!route.upstream_tls.empty()) lines.text("upstream_tls", route.upstream_tls);
  if (route.send_proxy_header) lines.flag("send_proxy_header", true);
  if (route.connect_timeout_ms != kDefault.connect_timeout_ms) {
    lines.number("connect_timeout_ms", std::uint64_t{route.connect_timeout_ms});
  }
  if (route.idle_timeout_ms != kDefault.idle_timeout_ms) {
    lines.number("idle_timeout_ms", std::uint64_t{route.idle_timeout_ms});
  }
  append_retry(out, 2, route.retry);
  append_refusal(out, 2, "refused", route.refused);
}

struct Serializer {
  std::string out;

  void operator()(const VirtualHost& host) {
    header(out, kKindHost);
    Lines lines{out, 0};
    lines.text("host", host.host);
    lines.flag("tls", host.tls);
    append_key_pair(out, 0, "certificate", host.certificate);
    append_key_pairs(out, "more_certificates", host.more_certificates);
    append_refusal(out, 0, "certificate_problem", host.certificate_problem);
    append_client_tls(out, host.client);
    if (host.passthrough) append_stream(out, "passthrough", *host.passthrough);
    if (host.routes.empty()) {
      lines.empty_list("routes");
      return;
    }
    lines.open("routes");
    for (const Route& route : host.routes) append_route(out, route);
  }

  void operator()(const Service& service) {
    header(out, kKindService);
    Lines lines{out, 0};
    lines.text("name", service.name);
    lines.flag("external_name", service.external_name);
    append_refusal(out, 0, "refused", service.refused);
    if (service.endpoints.empty()) {
      lines.empty_list("endpoints");
      return;
    }
    lines.open("endpoints");
    for (const Endpoint& endpoint : service.endpoints) {
      Lines element{out, 4};
      element.begin_element();
      element.text("address", endpoint.address);
      element.number("port", std::uint64_t{endpoint.port});
      element.flag("ready", endpoint.ready);
      element.flag("serving", endpoint.serving);
      element.flag("terminating", endpoint.terminating);
    }
  }

  void operator()(const TcpPort& tcp) {
    header(out, kKindTcp);
    Lines lines{out, 0};
    lines.number("port", std::uint64_t{tcp.port});
    lines.flag("expect_proxy_header", tcp.expect_proxy_header);
    append_key_pair(out, 0, "certificate", tcp.certificate);
    append_client_tls(out, tcp.client);
    append_refusal(out, 0, "client_refused", tcp.client_refused);
    append_stream(out, "route", tcp.route);
  }

  void operator()(const Front& front) {
    header(out, kKindFront);
    append_files(out, 0, "ticket_keys", front.ticket_keys);
    static const Front kDefault;
    Lines lines{out, 0};
    if (front.versions != kDefault.versions) {
      append_versions(out, front.versions);
    }
    if (!front.ciphers.empty()) lines.text("ciphers", front.ciphers);
    if (!front.groups.empty()) lines.text("groups", front.groups);
    if (!front.http2) lines.flag("http2", false);
    if (!front.session_tickets) lines.flag("session_tickets", false);
    if (!front.hsts) lines.flag("hsts", false);
    if (front.hsts_max_age != kDefault.hsts_max_age) {
      lines.number("hsts_max_age", std::uint64_t{front.hsts_max_age});
    }
    if (!front.hsts_include_subdomains) lines.flag("hsts_include_subdomains", false);
    if (front.hsts_preload) lines.flag("hsts_preload", true);
  }

  void operator()(const UpstreamTls& tls) {
    header(out, kKindTls);
    Lines lines{out, 0};
    lines.text("name", tls.name);
    append_key_pair(out, 0, "identity", tls.identity);
    append_files(out, 0, "ca", tls.ca);
    lines.flag("system_ca", tls.system_ca);
    lines.flag("verify", tls.verify);
    lines.number("verify_depth", std::uint64_t{tls.verify_depth});
    lines.texts("names", tls.names);
    lines.text("revocation", word_of(kRevocationScopes, tls.revocation));
    append_files(out, 0, "crl", tls.crl);
    if (tls.sni) lines.text("sni", *tls.sni);
    append_versions(out, tls.versions);
    if (!tls.ciphers.empty()) lines.text("ciphers", tls.ciphers);
    append_policy_rules(out, tls);
    append_candidate(out, tls.candidate);
    append_refusal(out, 0, "refused", tls.refused);
  }
};

}  // namespace

std::string serialize(const Shard& shard) {
  Serializer serializer;
  serializer.out.reserve(1024);
  std::visit(serializer, shard);
  return std::move(serializer.out);
}

std::string serialize(const Bucket& bucket) {
  std::string out;
  out.reserve(64 + bucket.size() * 120);
  header(out, kKindBucket);
  Lines lines{out, 0};
  if (bucket.empty()) {
    lines.empty_map("shards");
    return out;
  }
  lines.open("shards");
  Lines entries{out, 2};
  for (const auto& [name, hash] : bucket) entries.quoted_key(name, hash);
  return out;
}

std::string serialize(const Index& index) {
  std::string out;
  out.reserve(256 + kBucketCount * 76);
  header(out, kKindIndex);
  Lines lines{out, 0};
  lines.number("generation", index.generation);
  lines.number("time", index.time);
  append_key_pair(out, 0, "default_certificate", index.default_certificate);
  const std::size_t before = out.size();
  lines.open("buckets");
  Lines entries{out, 2};
  bool any = false;
  for (std::size_t i = 0; i < index.buckets.size(); ++i) {
    if (index.buckets[i].empty()) continue;
    std::string bucket;
    append_hex(bucket, static_cast<unsigned char>(i));
    entries.quoted_key(bucket, index.buckets[i]);
    any = true;
  }
  if (!any) {
    out.resize(before);
    lines.empty_map("buckets");
  }
  return out;
}

}  // namespace handfast::config
