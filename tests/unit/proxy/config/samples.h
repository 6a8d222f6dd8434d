#pragma once
// Shards for the tests of this folder.

#include "proxy/config/model.h"

namespace handfast::config::testing {

inline KeyPairRef sample_pair() {
  return {"tls/shop/orders-tls/0123456789abcdef/tls.crt",
          "tls/shop/orders-tls/0123456789abcdef/tls.key", "Secret/shop/orders-tls"};
}

inline UpstreamTls sample_policy() {
  UpstreamTls tls;
  tls.name = "shop/orders/api:443";
  tls.identity = sample_pair();
  tls.ca = {{"tls/shop/orders-tls/fedcba9876543210/ca.crt", "Secret/shop/orders-tls"}};
  tls.names = {"api.shop.svc", "api.shop.svc.cluster.local"};
  tls.revocation = RevocationScope::Chain;
  tls.crl = {{"tls/shop/orders-tls/00112233445566ff/ca.crl", "Secret/shop/orders-tls"}};
  tls.sni = "api.shop.svc";
  tls.versions = {TlsVersion::Tls12, TlsVersion::Tls13};
  tls.ciphers = "ECDHE+AESGCM:!aNULL";
  return tls;
}

// With all that only a policy object can say; no field of these is at its default.
inline UpstreamTls full_policy() {
  UpstreamTls tls = sample_policy();
  tls.name = "shop/orders@utls/api:443";
  tls.identity->passphrases = "tls/shop/orders-phrase/0123456789abcdef/passphrases";
  tls.names.push_back("spiffe://shop.example/*");
  tls.pins = {{PinType::Spki, std::string(64, 'a')}, {PinType::Certificate, std::string(64, '0')}};
  tls.revocation = RevocationScope::Leaf;
  tls.allow_without_crl = true;
  tls.ocsp = Ocsp::IfPresent;
  tls.require_certificate_request = true;
  tls.cipher_suites = "TLS_AES_256_GCM_SHA384";
  tls.groups = "X25519:P-256";
  tls.resumption = false;
  tls.drain_ms = 60'000;
  tls.trust_drain_ms = 30'000;
  tls.max_age_ms = 3'600'000;
  tls.audit_until = 1'800'000'000;
  tls.candidate =
      Candidate{.identity = sample_pair(),
                .ca = {{"tls/shop/orders-tls/aaaa456789abcdef/ca.crt", "Secret/shop/orders-tls"}},
                .system_ca = true};
  return tls;
}

inline ClientTls sample_client() {
  ClientTls client;
  client.ca = {{"tls/shop/clients/fedcba9876543210/ca.crt", "Secret/shop/clients"}};
  client.revocation = RevocationScope::Chain;
  client.crl = {{"tls/shop/clients/00112233445566ff/ca.crl", "Secret/shop/clients"}};
  client.verify_depth = 3;
  client.subject = "CN=(a|b)";
  client.names = {"a.clients.test", "spiffe://shop/b"};
  client.announce = false;
  return client;
}

inline Route sample_route() {
  Route route;
  route.path = "/orders";
  route.type = PathType::Exact;
  route.ingress_namespace = "shop";
  route.ingress = "orders";
  route.service = "shop/api:443";
  route.protocol = BackendProtocol::Https;
  route.upstream_tls = "shop/orders/api:443";
  route.ssl_redirect = true;
  route.access_log = false;
  return route;
}

// No field of its traffic is at its default.
inline Route tuned_route() {
  Route route = sample_route();
  route.path = "/tuned";
  route.http2 = Http2::Offer;
  route.connect_timeout_ms = 1'500;
  route.read_timeout_ms = 4'294'967'295;
  route.send_timeout_ms = 1;
  route.retry = {.error = false,
                 .timeout = true,
                 .invalid_header = true,
                 .non_idempotent = true,
                 .statuses = {429, 502},
                 .tries = 0,
                 .timeout_ms = 2'000};
  route.load_balance = LoadBalance::ConsistentHash;
  route.hash_by = "$remote_addr";
  route.max_body_bytes = 0;
  route.request_buffering = true;
  route.response_buffering = true;
  route.max_temp_bytes = 9'223'372'036'854'775'807;
  return route;
}

inline Route grpc_route() {
  Route route = sample_route();
  route.path = "/pkg.Service/";
  route.protocol = BackendProtocol::Grpcs;
  route.http2 = Http2::Require;
  return route;
}

// No field of its auth is at its default.
inline Route asking_route() {
  Route route = sample_route();
  route.path = "/asking";
  route.auth = ExternalAuth{.service = "auth/proxy:4180",
                            .upstream_tls = "shop/orders@auth/proxy.auth.svc:4180",
                            .http2 = Http2::Offer,
                            .authority = "proxy.auth.svc:4180",
                            .target = "/check?host=$host",
                            .method = "POST",
                            .signin = "https://$host/start?rd=$escaped_request_uri",
                            .response_headers = {"X-Auth-User", "Authorization"},
                            .request_redirect = "https://$host$request_uri",
                            .set_headers = {{"X-Tenant", "$http_x_tenant"}, {"X-Empty", ""}},
                            .always_set_cookie = true,
                            .cache_key = "$cookie_sid",
                            .cache = {{{200, 401}, 300}, {{}, 1}}};
  return route;
}

inline VirtualHost asking_host() {
  VirtualHost host;
  host.host = "asking.example";
  host.routes = {asking_route()};
  return host;
}

inline VirtualHost tuned_host() {
  VirtualHost host;
  host.host = "tuned.example";
  host.routes = {grpc_route(), tuned_route()};
  return host;
}

inline VirtualHost sample_host() {
  VirtualHost host;
  host.host = "shop.example";
  host.tls = true;
  host.certificate = sample_pair();
  host.more_certificates = {sample_pair()};
  Route refused = sample_route();
  refused.path = "/";
  refused.refused = Refusal{Reason::InvalidValue,
                            "annotation \"proxy-ssl-verify\": 'maybe' is\nneither on nor off"};
  host.routes = {sample_route(), refused};
  return host;
}

// No field of its route is at its default.
inline TcpPort sample_tcp() {
  TcpPort tcp;
  tcp.port = 9000;
  tcp.expect_proxy_header = true;
  tcp.certificate = sample_pair();
  tcp.client.emplace().ca = {{"tls/shop/people/0123456789abcdef/ca.crt", "Secret/shop/people"}};
  tcp.route.ingress_namespace = "ops";
  tcp.route.service = "shop/db:5432";
  tcp.route.upstream_tls = "shop/db@utls/db:5432";
  tcp.route.send_proxy_header = true;
  tcp.route.connect_timeout_ms = 1'500;
  tcp.route.idle_timeout_ms = 1;
  tcp.route.retry.error = false;
  tcp.route.retry.tries = 7;
  tcp.route.retry.timeout_ms = 600'000;
  return tcp;
}

inline VirtualHost passed_host() {
  VirtualHost host;
  host.host = "passed.example";
  host.passthrough = sample_tcp().route;
  host.passthrough->ingress = "passed";
  host.passthrough->upstream_tls.clear();
  host.passthrough->send_proxy_header = false;
  return host;
}

inline Service sample_service() {
  Service service;
  service.name = "shop/api:443";
  service.endpoints = {{"10.0.0.7", 8443, true, true, false}, {"fd00::1", 8443, false, true, true}};
  return service;
}

}  // namespace handfast::config::testing
