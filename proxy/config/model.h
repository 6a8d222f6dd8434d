#pragma once
// The contract between controller and proxy: what one generation says, as value types.
//
// A generation is a small Merkle tree (docs/generation-format.md): an index names 256 buckets by
// the sha256 of their bytes, a bucket names its shards, a shard is one VirtualHost, one Service,
// one UpstreamTls, one TcpPort or the Front. A shard is stored once by its hash and never changes.
//
//   Index -> 256 x Bucket -> (shard name -> sha256) -> VirtualHost | Service | UpstreamTls |
//                                                      TcpPort | Front
//
// Shard names: "host/shop.example", "host/*.shop.example", "host/" (catch-all),
// "service/<namespace>/<service>:<port>", "tls/<namespace>/<ingress>/<service>:<port>",
// "tcp/<port>".
//
// File paths are relative to the state directory. Everything here is a plain value: copied,
// compared, never shared between threads while it changes. No key material: only names of files.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proxy/base/rare.h"
#include "proxy/base/reason.h"
#include "proxy/config/external_auth.h"
#include "proxy/config/traffic.h"

namespace handfast::config {

// Versions of the format. A reader refuses another major and ignores nothing: an unknown field is
// an error within the same minor.
inline constexpr int kFormatMajor = 1;
inline constexpr int kFormatMinor = 4;

// Why a route, a Service or a TLS policy can't serve: it answers refusal_status(reason). `detail`
// names object and field and says what to do; it is for logs, never for the client.
struct Refusal {
  Reason reason = Reason::Internal;
  std::string detail;
  friend bool operator==(const Refusal&, const Refusal&) = default;
};

// One file of material and where it came from: `path`
// "tls/shop/orders-tls/0123456789abcdef/ca.crt", `source` "Secret/shop/orders-tls". The 16 hex
// digits are the start of the sha256 of the item's content.
struct FileRef {
  std::string path;
  std::string source;
  friend bool operator==(const FileRef&, const FileRef&) = default;
};

// A certificate chain and its key, one item: one file with both (tls.pem, or PKCS#12 in tls.p12),
// or two of one directory.
struct KeyPairRef {
  std::string certificate;  // path: leaf first, then intermediates
  std::string key;          // path; the same one: both are in it
  std::string source;       // "Secret/shop/orders-tls"
  // Path of a file with passphrases of the key, one a line, tried in order (nginx:
  // proxy_ssl_password_file). Empty: none; an encrypted key is then an error.
  std::string passphrases = {};
  // Path of a file with an OCSP response about the certificate, for clients (nginx:
  // ssl_stapling_file). Empty: none.
  std::string ocsp = {};
  friend bool operator==(const KeyPairRef&, const KeyPairRef&) = default;
};

enum class TlsVersion : std::uint8_t { Tls12, Tls13 };

// Which certificates of a chain must be covered by a CRL. Off: no CRL was configured. Listed: none
// must, but whichever a CRL names is refused.
enum class RevocationScope : std::uint8_t { Off, Listed, Leaf, Chain };

// The digest that a pin holds: of the SubjectPublicKeyInfo (RFC 7469 section 2.4) or of the whole
// certificate, both in DER.
enum class PinType : std::uint8_t { Spki, Certificate };

struct Pin {
  PinType type = PinType::Spki;
  std::string sha256;  // lower-case hex
  friend bool operator==(const Pin&, const Pin&) = default;
};

// A stapled OCSP response (RFC 6066 section 8): not looked at; judged if there is one; demanded.
enum class Ocsp : std::uint8_t { Off, IfPresent, Require };

// What takes the place of identity or trust once a preflight has passed (POST /v1/preflight). It is
// here so that its files are kept; the proxy serves nothing by it.
struct Candidate {
  std::optional<KeyPairRef> identity;  // none: the identity stays
  std::vector<FileRef> ca;             // empty: trust stays
  bool system_ca = false;              // with or instead of `ca`
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// How one Service port is connected to by TLS: identity, trust and rules, each on its own. From the
// annotations of one Ingress, or from one policy object.
struct UpstreamTls {
  // "<namespace>/<ingress>/<service>:<port>", or "<namespace>/<policy>@<kind>/<service>:<port>" of
  // an UpstreamTLSPolicy ("utls") or a BackendTLSPolicy ("btls"). Stable over changes.
  std::string name;

  std::optional<KeyPairRef> identity;  // what we present; none: no client certificate

  // Trust. With verify on and neither `ca` nor `system_ca`, the policy must carry `refused`.
  std::vector<FileRef> ca;
  bool system_ca = false;
  bool verify = true;             // off only where the operator permitted it
  std::uint8_t verify_depth = 4;  // intermediates allowed between leaf and anchor, >= 1
  // Any one is enough: DNS names (SAN dNSName, wildcard rule), IP addresses (SAN iPAddress), URIs
  // (SAN URI: the same bytes, or any of a SPIFFE trust domain: "spiffe://shop.example/*").
  std::vector<std::string> names;
  std::vector<Pin> pins;  // any one of the leaf's is enough; empty: not looked at
  bool pin_only = false;  // the pin stands in for trust and names: then there is no CA
  RevocationScope revocation = RevocationScope::Off;
  std::vector<FileRef> crl;
  // A certificate that no valid CRL covers is let through, counted and logged, instead of refused.
  bool allow_without_crl = false;
  Ocsp ocsp = Ocsp::Off;

  // A backend that doesn't ask for our certificate is refused.
  bool require_certificate_request = false;

  std::optional<std::string> sni;    // none: no server_name extension
  std::vector<TlsVersion> versions;  // sorted, not empty
  std::string ciphers;               // OpenSSL list for TLS 1.2; empty: the proxy's default
  std::string cipher_suites;         // OpenSSL list for TLS 1.3; empty: the proxy's default
  std::string groups;                // OpenSSL list of key exchange groups; empty: the default
  bool resumption = true;            // sessions are taken up again

  // After a change of identity, connections in use that present the old one are closed after this
  // long; none: they live until they end or their certificate expires.
  std::optional<std::uint32_t> drain_ms;
  // After trust was reduced, connections in use whose peer isn't trusted any more are closed after
  // this long; none: at once. Only where the operator permitted it.
  std::optional<std::uint32_t> trust_drain_ms;
  std::uint32_t max_age_ms = 0;  // a connection takes no new request after this long; 0: no limit

  // Until then (Unix seconds), what the verification refuses is forwarded and counted instead; 0:
  // never. The operator's, for migrations.
  std::int64_t audit_until = 0;

  std::optional<Candidate> candidate;  // waits for a preflight

  std::optional<Refusal> refused;
  friend bool operator==(const UpstreamTls&, const UpstreamTls&) = default;
};

struct Endpoint {
  // An IP address in text; for an ExternalName Service the DNS name (Service::external_name).
  std::string address;
  std::uint16_t port = 0;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// One port of one Kubernetes Service: the cluster that a route balances over. Endpoints in stable
// order (address, port), without duplicates. Used: those ready; if there are none, those serving
// and terminating.
struct Service {
  std::string name;  // "<namespace>/<service>:<port number or name>"
  bool external_name = false;
  std::vector<Endpoint> endpoints;
  std::optional<Refusal> refused;  // ServiceMissing, PortMissing
  friend bool operator==(const Service&, const Service&) = default;
};

// Whom a host asks for a certificate, and by what it is judged: one set for all of its routes,
// since the handshake comes before the path.
struct ClientTls {
  std::vector<FileRef> ca;  // what their certificates must lead to; not empty
  RevocationScope revocation = RevocationScope::Off;
  std::vector<FileRef> crl;
  std::uint8_t verify_depth = 1;  // intermediates allowed between leaf and anchor, >= 1
  // Filters; empty: any certificate of `ca`. Of `subject`, a pattern of pki/common_name.h, and of
  // `names` (SANs: DNS, IP or URI, any one is enough), both must hold where both are given.
  std::string subject;
  std::vector<std::string> names;
  bool announce = true;  // the names of the CAs go into the request for a certificate
  friend bool operator==(const ClientTls&, const ClientTls&) = default;
};

// What a route does about its client's certificate. Such a route is never served without TLS.
enum class ClientVerify : std::uint8_t {
  On,            // one is needed, and it must be good
  Optional,      // none is fine, a bad one is not
  OptionalNoCa,  // as Optional, but the issuer is the Service's to judge
};

struct ClientAccess {
  ClientVerify verify = ClientVerify::On;
  std::string error_page;          // where 400 is redirected to; empty: it is answered
  bool pass_certificate = false;   // the Service gets the certificate itself too
  std::optional<Refusal> refused;  // nobody gets in: 403
  friend bool operator==(const ClientAccess&, const ClientAccess&) = default;
};

// By their addresses: first whom it keeps out, then whom alone it lets in (nginx's deny and allow).
// Networks as NetworkSet reads them.
struct SourceRanges {
  std::vector<std::string> denied;
  std::vector<std::string> allowed;  // empty: everybody else
  friend bool operator==(const SourceRanges&, const SourceRanges&) = default;
};

enum class PathType : std::uint8_t { Exact, Prefix };

// One path of one host. Prefix matches by element: "/foo" matches "/foo" and "/foo/bar", not
// "/foobar"; a trailing slash of the rule is not significant for Prefix.
struct Route {
  std::string path;  // begins with '/'
  PathType type = PathType::Prefix;

  std::string ingress_namespace;  // for logs and metrics
  std::string ingress;

  std::string service;  // Service::name; empty only if refused
  BackendProtocol protocol = BackendProtocol::Http;
  std::string upstream_tls;  // UpstreamTls::name iff is_tls(protocol)
  Http2 http2 = Http2::Off;  // Require iff is_grpc(protocol); never Offer without TLS

  std::uint32_t connect_timeout_ms = 5'000;  // TCP and TLS, of one try
  std::uint32_t read_timeout_ms = 60'000;    // between two reads; idle limit of a tunnel
  std::uint32_t send_timeout_ms = 60'000;    // between two writes
  RetryPolicy retry;
  LoadBalance load_balance = LoadBalance::RoundRobin;
  std::string hash_by;  // an expression of request_expression.h iff ConsistentHash

  std::uint64_t max_body_bytes = kDefaultMaxBodyBytes;  // of a request, else 413; 0: no limit
  bool request_buffering = false;   // the whole request is read before it is sent; not with gRPC
  bool response_buffering = false;  // the endpoint is not slowed by a slow client; not with gRPC
  std::uint64_t max_temp_bytes = kDefaultMaxTempBytes;  // of a buffered response on disk; 0: none

  bool ssl_redirect = false;  // plain requests are answered 308 to https
  bool access_log = true;
  Rare<SourceRanges> sources;  // whose requests it takes; others are answered 403
  Rare<ClientAccess> client;   // needs VirtualHost::client, unless it is refused
  Rare<ExternalAuth> auth;     // asked about each request

  std::optional<Refusal> refused;
  friend bool operator==(const Route&, const Route&) = default;
};

// Where a connection goes whose bytes are relayed as they are: of a TCP port, or of a host whose
// TLS isn't ended here.
struct StreamRoute {
  std::string ingress_namespace;  // for logs: whose ConfigMap or Ingress asked for it
  std::string ingress;            // empty: a TCP port

  std::string service;             // Service::name; empty only if refused
  std::string upstream_tls;        // UpstreamTls::name; empty: plain TCP
  bool send_proxy_header = false;  // the Service is told the client in a PROXY header, version 1

  std::uint32_t connect_timeout_ms = 5'000;  // TCP and TLS, of one try
  std::uint32_t idle_timeout_ms = 600'000;   // between two signs of life in either direction
  RetryPolicy retry;  // of connecting: `error`, `timeout`, tries and time; the rest is HTTP's

  std::optional<Refusal> refused;  // connections are closed
  friend bool operator==(const StreamRoute&, const StreamRoute&) = default;
};

// A TCP port that we listen on, beside those for HTTP.
struct TcpPort {
  std::uint16_t port = 0;
  bool expect_proxy_header = false;       // every peer begins with a PROXY header, and must
  std::optional<KeyPairRef> certificate;  // TLS ends here, by this certificate; none: no TLS
  std::optional<ClientTls> client;        // needs `certificate`; none: nobody is asked for one
  // They would be asked, and can't be judged: nobody gets in, and nobody who was stays.
  std::optional<Refusal> client_refused;
  StreamRoute route;
  friend bool operator==(const TcpPort&, const TcpPort&) = default;
};

// A host and its routes. `host`: lower case, exact ("shop.example"), "*.shop.example" (exactly one
// label in front) or "" (any host that no other shard names). Routes are sorted: longer path first,
// Exact before Prefix of the same path.
struct VirtualHost {
  std::string host;
  std::vector<Route> routes;
  bool tls = false;                       // an Ingress has a tls section for this host
  std::optional<KeyPairRef> certificate;  // none: the default certificate
  // Beside it, with keys of other types: a client sees the one that it can verify.
  std::vector<KeyPairRef> more_certificates;
  // Set when `tls` names a certificate that can't be had: requests are served with the default
  // certificate, a warning and a gauge tell.
  std::optional<Refusal> certificate_problem;
  std::optional<ClientTls> client;  // none: clients aren't asked for a certificate
  // TLS connections that name this host go there undecrypted; then there are no routes.
  Rare<StreamRoute> passthrough;
  friend bool operator==(const VirtualHost&, const VirtualHost&) = default;
};

// What all hosts have in common. At most one shard of a generation, "front/".
struct Front {
  // Of session tickets: the first encrypts, all decrypt. None: the proxy makes its own.
  std::vector<FileRef> ticket_keys;
  std::vector<TlsVersion> versions{TlsVersion::Tls12, TlsVersion::Tls13};  // sorted, not empty
  std::string ciphers;          // OpenSSL list for TLS 1.2; empty: the proxy's default
  std::string groups;           // OpenSSL list of key exchange groups; empty: the default
  bool http2 = true;            // offered to clients by ALPN
  bool session_tickets = true;  // off: each handshake is a full one
  // Strict-Transport-Security (RFC 6797) of what is answered over TLS, by ingress-nginx's defaults.
  bool hsts = true;                           // off: the Service's own passes
  std::uint32_t hsts_max_age = 365 * 86'400;  // seconds; 0: clients forget it
  bool hsts_include_subdomains = true;
  bool hsts_preload = false;
  friend bool operator==(const Front&, const Front&) = default;
};

using Shard = std::variant<VirtualHost, Service, UpstreamTls, TcpPort, Front>;

// The shard's name in a bucket: "host/…", "service/…", "tls/…", "tcp/…" or "front/".
[[nodiscard]] std::string shard_name(const Shard& shard);

inline constexpr int kBucketCount = 256;

// Which bucket a shard's name falls into: the first byte of the sha256 of the name, so that both
// sides agree and a person can compute it.
[[nodiscard]] std::uint8_t bucket_of(std::string_view shard_name);

[[nodiscard]] std::array<unsigned char, 32> sha256(std::string_view bytes);
// The same in lower-case hex.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

// sha256 of files by name: each counts as "<name> <size>\n" and its bytes. A tls directory is
// called by the first 16 digits.
[[nodiscard]] std::string content_hash(const std::map<std::string_view, std::string_view>& files);

// shard name -> sha256 of the shard's text.
using Bucket = std::map<std::string, std::string, std::less<>>;

struct Index {
  std::uint64_t generation = 0;
  std::int64_t time = 0;  // Unix seconds at which the controller made it
  std::optional<KeyPairRef> default_certificate;
  // Every namespace/name that the controller refuses or warns about is in the shards; the index
  // holds only what concerns all.
  std::array<std::string, kBucketCount> buckets;  // sha256 of each bucket's text; empty: no shard
  friend bool operator==(const Index&, const Index&) = default;
};

// Where things lie below the state directory.
[[nodiscard]] std::string generation_directory(
    std::uint64_t generation);                                  // "generations/000000000042"
[[nodiscard]] std::string shard_path(std::string_view sha256);  // "shards/ab/ab12….yaml"

}  // namespace handfast::config
