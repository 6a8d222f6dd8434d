#include "proxy/config/validate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "proxy/base/hex.h"
#include "proxy/base/network_set.h"
#include "proxy/config/external_auth_text.h"
#include "proxy/config/request_expression.h"
#include "proxy/config/text.h"

namespace handfast::config {
namespace {

[[nodiscard]] tl::unexpected<Error> bad(std::string_view field, std::string_view what) {
  std::string detail{field};
  return fail(Reason::BadObject, detail.append(": ").append(what));
}

constexpr std::size_t kMostCertificates = 7;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

// Every element is a name: not empty, not "." or "..".
bool is_relative_path(std::string_view path, std::size_t& elements) {
  elements = 0;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view element = path.substr(0, slash);
    if (element.empty() || element == "." || element == ".." || has_control(element)) return false;
    ++elements;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Status check_path(const std::string& path, FilePaths paths, std::string_view field) {
  std::size_t elements = 0;
  if (!is_relative_path(path, elements)) {
    return bad(field, "\"" + path + "\" must be a relative path without \".\" and \"..\"");
  }
  if (paths == FilePaths::BelowTls && (!path.starts_with("tls/") || elements != 5)) {
    return bad(field, "\"" + path + "\" must be tls/<namespace>/<name>/<hash>/<file>");
  }
  return {};
}

Status check_files(const std::vector<FileRef>& files, FilePaths paths, std::string_view field) {
  for (const FileRef& file : files) {
    if (Status good = check_path(file.path, paths, field); !good) return good;
  }
  return {};
}

// Lower case, labels of letters, digits, '-' and '_', with '*' only as the first of several.
bool is_host(std::string_view host) {
  if (host.empty()) return true;
  if (host.size() > 253) return false;
  if (host.starts_with("*.")) host.remove_prefix(2);
  bool label = false;
  for (const char c : host) {
    if (c == '.') {
      if (!label) return false;
      label = false;
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
      label = true;
    } else {
      return false;
    }
  }
  return label;
}

bool is_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

bool is_dns_name(std::string_view text) {
  return !text.empty() && text.size() <= 254 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// "<namespace>/…/<service>:<port>": printable, with at least one '/' and one ':'.
bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of(kHexDigits) == std::string_view::npos;
}

bool is_cluster_name(std::string_view name) {
  return !has_control(name) && name.find('/') != std::string_view::npos &&
         name.find(':') != std::string_view::npos;
}

Status check_protocol(const Route& route, const std::string& field) {
  const bool tls = is_tls(route.protocol);
  if (tls && route.upstream_tls.empty()) {
    return bad(field + ".upstream_tls", "is missing: HTTPS and GRPCS need a TLS policy");
  }
  if (!tls && !route.upstream_tls.empty()) {
    return bad(field + ".upstream_tls", "is set, but the protocol is neither HTTPS nor GRPCS");
  }
  if (!tls && route.http2 == Http2::Offer) {
    return bad(field + ".http2", "is Offer, but without TLS nothing can be offered");
  }
  if (!is_grpc(route.protocol)) return {};
  if (route.http2 != Http2::Require) return bad(field + ".http2", "must be Require with gRPC");
  // A call may wait for an answer before it says more: a buffered one would wait forever.
  if (route.request_buffering) return bad(field + ".request_buffering", "is on with gRPC");
  if (route.response_buffering) return bad(field + ".response_buffering", "is on with gRPC");
  return {};
}

Status check_balance(const Route& route, const std::string& field) {
  const bool by_hash = route.load_balance == LoadBalance::ConsistentHash;
  if (by_hash && route.hash_by.empty()) {
    return bad(field + ".hash_by", "is missing: ConsistentHash needs an expression");
  }
  if (!by_hash && !route.hash_by.empty()) {
    return bad(field + ".hash_by", "is set, but load_balance is not ConsistentHash");
  }
  if (!by_hash) return {};
  const auto expression = parse_request_expression(route.hash_by);
  return expression ? Status{} : bad(field + ".hash_by", expression.error().detail);
}

Status check_retry(const RetryPolicy& retry, const std::string& field) {
  for (std::size_t i = 0; i < retry.statuses.size(); ++i) {
    if (std::ranges::find(kRetryStatuses, retry.statuses[i]) == std::end(kRetryStatuses)) {
      return bad(field + ".conditions", "http_" + std::to_string(retry.statuses[i]) +
                                            " is none of http_403, 404, 429, 500, 502, 503, 504");
    }
    if (i > 0 && retry.statuses[i - 1] >= retry.statuses[i]) {
      return bad(field + ".conditions", "statuses must be sorted, each once");
    }
  }
  return {};
}

Status check_sources(const SourceRanges& ranges, const std::string& field) {
  if (ranges.denied.empty() && ranges.allowed.empty()) return bad(field, "holds no network");
  for (const auto* const list : {&ranges.denied, &ranges.allowed}) {
    if (const auto read = NetworkSet::parse(*list); !read) {
      return bad(field + (list == &ranges.denied ? ".denied" : ".allowed"), read.error().detail);
    }
  }
  return {};
}

Status check_route(const Route& route, const std::string& field) {
  if (!route.path.starts_with('/')) return bad(field + ".path", "must begin with '/'");
  if (has_control(route.path)) return bad(field + ".path", "must not hold control characters");
  if (route.refused) return {};
  if (route.service.empty()) return bad(field + ".service", "is missing and nothing is refused");
  if (Status good = check_protocol(route, field); !good) return good;
  if (Status good = check_balance(route, field); !good) return good;
  if (Status good = check_retry(route.retry, field + ".retry"); !good) return good;
  if (route.sources) {
    if (Status good = check_sources(*route.sources, field + ".sources"); !good) return good;
  }
  return route.auth ? check_external_auth(*route.auth, field + ".auth") : Status{};
}

Status check_stream(const StreamRoute& route, const std::string& field) {
  if (route.refused) return {};
  if (route.service.empty()) return bad(field + ".service", "is missing and nothing is refused");
  const RetryPolicy& retry = route.retry;
  if (!retry.statuses.empty() || retry.invalid_header || retry.non_idempotent) {
    return bad(field + ".retry.conditions", "may be error and timeout: there are no answers");
  }
  return {};
}

Status check_client(const ClientTls& client, FilePaths paths) {
  if (Status good = check_files(client.ca, paths, "client.ca"); !good) return good;
  if (Status good = check_files(client.crl, paths, "client.crl"); !good) return good;
  if (client.ca.empty()) return bad("client.ca", "is missing: nothing to verify against");
  if (client.crl.empty() != (client.revocation == RevocationScope::Off)) {
    return bad("client.revocation", "must be Off without CRLs, and only then");
  }
  if (client.verify_depth < 1) return bad("client.verify_depth", "must be at least 1");
  if (has_control(client.subject)) return bad("client.subject", "must be printable");
  for (const std::string& name : client.names) {
    if (name.empty() || has_control(name)) {
      return bad("client.names", "holds an empty or unprintable name");
    }
  }
  return {};
}

// What needs a certificate must belong to a host that asks for one: a route that nobody judges
// would be one that everybody gets.
Status check_access(const VirtualHost& host, const Route& route, const std::string& field) {
  if (!route.client) return {};
  const std::string& page = route.client->error_page;
  const bool is_visible = std::ranges::all_of(page, [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_visible) return bad(field + ".client.error_page", "must be a URL");
  if (route.refused || route.client->refused || host.client) return {};
  return bad(field + ".client", "is set, but the host has no client");
}

Status check(const VirtualHost& host, FilePaths paths) {
  if (!is_host(host.host)) {
    return bad("host", "\"" + host.host + "\" is not a lower-case host, \"*.\" host or empty");
  }
  if (host.certificate) {
    if (Status good = validate(*host.certificate, paths); !good) {
      return within("certificate", good.error());
    }
  }
  for (const KeyPairRef& pair : host.more_certificates) {
    if (Status good = validate(pair, paths); !good)
      return within("more_certificates", good.error());
  }
  if (!host.more_certificates.empty() && !host.certificate) {
    return bad("more_certificates", "are there, but no certificate");
  }
  if (host.more_certificates.size() > kMostCertificates) {
    return bad("more_certificates", "are more than there are types of keys");
  }
  if (host.client) {
    if (Status good = check_client(*host.client, paths); !good) return good;
  }
  if (host.passthrough) {
    if (host.host.empty())
      return bad("passthrough", "needs a host: nothing else tells whose it is");
    if (!host.routes.empty()) return bad("passthrough", "is set, but there are routes");
    if (Status good = check_stream(*host.passthrough, "passthrough"); !good) return good;
  }
  std::set<std::pair<std::string_view, PathType>> seen;
  for (std::size_t i = 0; i < host.routes.size(); ++i) {
    const std::string field = "routes[" + std::to_string(i) + "]";
    if (Status good = check_route(host.routes[i], field); !good) return good;
    if (Status good = check_access(host, host.routes[i], field); !good) return good;
    if (!seen.emplace(host.routes[i].path, host.routes[i].type).second) {
      return bad(field + ".path", "stands twice with the same type");
    }
  }
  return {};
}

Status check(const Service& service, FilePaths /*paths*/) {
  if (!is_cluster_name(service.name)) return bad("name", "must be <namespace>/<service>:<port>");
  for (std::size_t i = 0; i < service.endpoints.size(); ++i) {
    const Endpoint& endpoint = service.endpoints[i];
    const std::string field = "endpoints[" + std::to_string(i) + "]";
    if (endpoint.port == 0) return bad(field + ".port", "must not be 0");
    const bool good =
        is_address(endpoint.address) || (service.external_name && is_dns_name(endpoint.address));
    if (!good) {
      return bad(field + ".address", "\"" + endpoint.address + "\" is not an IP address" +
                                         (service.external_name ? " or a DNS name" : ""));
    }
  }
  return {};
}

// What only a policy that is in use must satisfy: a refused one connects to nothing.
Status check_trust(const UpstreamTls& tls) {
  if (tls.pin_only) {
    if (tls.pins.empty()) return bad("pins", "is missing: pin_only is set");
    if (!tls.ca.empty() || tls.system_ca) return bad("pin_only", "is set, but there is a CA");
  } else if (tls.verify) {
    if (tls.ca.empty() && !tls.system_ca) return bad("ca", "is missing: nothing to verify against");
    if (tls.names.empty()) return bad("names", "is missing: nobody to expect");
  }
  if (!tls.verify && (tls.pin_only || !tls.pins.empty() || tls.ocsp != Ocsp::Off)) {
    return bad("verify", "is off, but there are pins or OCSP");
  }
  if (tls.require_certificate_request && !tls.identity) {
    return bad("require_certificate_request", "is set, but there is no identity");
  }
  if (tls.revocation == RevocationScope::Off && !tls.crl.empty()) {
    return bad("revocation", "is Off, but there are CRLs");
  }
  if (tls.revocation != RevocationScope::Off && tls.crl.empty()) {
    return bad("crl", "is missing: revocation is not Off");
  }
  if (tls.versions.empty()) return bad("versions", "is empty");
  return {};
}

Status check_versions(const std::vector<TlsVersion>& versions) {
  for (std::size_t i = 1; i < versions.size(); ++i) {
    if (versions[i - 1] >= versions[i]) return bad("versions", "must be sorted, each once");
  }
  return {};
}

Status check(const Candidate& candidate, FilePaths paths) {
  if (candidate.identity) {
    if (Status good = validate(*candidate.identity, paths); !good) {
      return within("candidate.identity", good.error());
    }
  }
  if (Status good = check_files(candidate.ca, paths, "candidate.ca"); !good) return good;
  if (!candidate.identity && candidate.ca.empty() && !candidate.system_ca) {
    return bad("candidate", "holds nothing");
  }
  return {};
}

Status check(const UpstreamTls& tls, FilePaths paths) {
  if (!is_cluster_name(tls.name)) {
    return bad("name", "must be <namespace>/<ingress>/<service>:<port>");
  }
  if (tls.identity) {
    if (Status good = validate(*tls.identity, paths); !good) {
      return within("identity", good.error());
    }
  }
  if (Status good = check_files(tls.ca, paths, "ca"); !good) return good;
  if (Status good = check_files(tls.crl, paths, "crl"); !good) return good;
  if (tls.verify_depth < 1) return bad("verify_depth", "must be at least 1");
  for (const std::string& name : tls.names) {
    if (name.empty() || has_control(name))
      return bad("names", "holds an empty or unprintable name");
  }
  if (tls.sni && (tls.sni->empty() || has_control(*tls.sni))) {
    return bad("sni", "is empty or unprintable; leave it out to send none");
  }
  if (has_control(tls.ciphers)) return bad("ciphers", "must not hold control characters");
  if (has_control(tls.cipher_suites)) return bad("cipher_suites", "holds control characters");
  if (has_control(tls.groups)) return bad("groups", "holds control characters");
  for (const Pin& pin : tls.pins) {
    if (!is_sha256_hex(pin.sha256)) return bad("pins", "must be a sha256 in lower-case hex");
  }
  if (Status good = check_versions(tls.versions); !good) return good;
  if (tls.candidate) {
    if (Status good = check(*tls.candidate, paths); !good) return good;
  }
  return tls.refused ? Status{} : check_trust(tls);
}

Status check(const TcpPort& tcp, FilePaths paths) {
  if (tcp.port == 0) return bad("port", "must not be 0");
  if (tcp.certificate) {
    if (Status good = validate(*tcp.certificate, paths); !good) {
      return within("certificate", good.error());
    }
  }
  if (tcp.client) {
    if (!tcp.certificate) return bad("client", "is set, but there is no certificate of ours");
    if (Status good = check_client(*tcp.client, paths); !good) return good;
  }
  return check_stream(tcp.route, "route");
}

Status check(const Front& front, FilePaths paths) {
  if (front.versions.empty()) return bad("versions", "is empty");
  if (Status good = check_versions(front.versions); !good) return good;
  if (has_control(front.ciphers)) return bad("ciphers", "must not hold control characters");
  if (has_control(front.groups)) return bad("groups", "must not hold control characters");
  return check_files(front.ticket_keys, paths, "ticket_keys");
}

}  // namespace

Status validate(const KeyPairRef& pair, FilePaths paths) {
  if (Status good = check_path(pair.certificate, paths, "certificate"); !good) return good;
  if (Status good = check_path(pair.key, paths, "key"); !good) return good;
  if (!pair.passphrases.empty()) {
    if (Status good = check_path(pair.passphrases, paths, "passphrases"); !good) return good;
  }
  if (!pair.ocsp.empty()) {
    if (Status good = check_path(pair.ocsp, paths, "ocsp"); !good) return good;
  }
  const auto directory = [](const std::string& path) {
    return path.substr(0, path.rfind('/') + 1);
  };
  if (paths == FilePaths::BelowTls && directory(pair.certificate) != directory(pair.key)) {
    return bad("key", "must lie beside the certificate");
  }
  return {};
}

Status validate(const Shard& shard, FilePaths paths) {
  return std::visit([paths](const auto& one) { return check(one, paths); }, shard);
}

Status validate(const Shard& shard) { return validate(shard, FilePaths::BelowTls); }

}  // namespace handfast::config
