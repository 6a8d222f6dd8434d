#include "controller/translate/annotation_table.h"

#include <algorithm>
#include <array>

namespace handfast::translate {
namespace {

constexpr std::array<std::string_view, 6> kOwnOnly{"auth-proxy-ssl-secret", "auth-upstream-ca",
                                                   "auth-tls-announce-ca",  "auth-tls-match-san",
                                                   "upstream-ca",           "upstream-http2"};

constexpr auto kTable = std::to_array<AnnotationRow>({
    {"affinity", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"affinity-canary-behavior", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"affinity-mode", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"allowlist-source-range", AnnotationClass::Implemented, "", "restricts client addresses"},
    {"app-root", AnnotationClass::Refused, "", "answers a redirect instead of the Service"},
    {"auth-always-set-cookie", AnnotationClass::Implemented, "",
     "asks a server about each request"},
    {"auth-cache-duration", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-cache-key", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-keepalive", AnnotationClass::Ignored, "0",
     "connections to auth servers are kept alive as any"},
    {"auth-keepalive-requests", AnnotationClass::Ignored, "",
     "connections to auth servers are kept alive as any"},
    {"auth-keepalive-share-vars", AnnotationClass::Ignored, "false",
     "connections to auth servers are kept alive as any"},
    {"auth-keepalive-timeout", AnnotationClass::Ignored, "",
     "connections to auth servers are kept alive as any"},
    {"auth-method", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-proxy-set-headers", AnnotationClass::Implemented, "",
     "asks a server about each request"},
    {"auth-proxy-ssl-secret", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-realm", AnnotationClass::Refused, "", "asks for credentials"},
    {"auth-request-redirect", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-response-headers", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-secret", AnnotationClass::Refused, "", "asks for credentials"},
    {"auth-secret-type", AnnotationClass::Refused, "", "asks for credentials"},
    {"auth-signin", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-signin-redirect-param", AnnotationClass::Implemented, "",
     "asks a server about each request"},
    {"auth-snippet", AnnotationClass::Refused, "",
     "raw nginx configuration, which can do any of these"},
    {"auth-tls-announce-ca", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-error-page", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-match-cn", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-match-san", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-pass-certificate-to-upstream", AnnotationClass::Implemented, "",
     "certificates of clients"},
    {"auth-tls-secret", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-verify-client", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-tls-verify-depth", AnnotationClass::Implemented, "", "certificates of clients"},
    {"auth-type", AnnotationClass::Refused, "", "asks for credentials"},
    {"auth-upstream-ca", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"auth-url", AnnotationClass::Implemented, "", "asks a server about each request"},
    {"backend-protocol", AnnotationClass::Implemented, "", "the protocol spoken to the Service"},
    {"canary", AnnotationClass::Refused, "false", "sends some requests to another Service"},
    {"canary-by-cookie", AnnotationClass::Refused, "", "sends some requests to another Service"},
    {"canary-by-header", AnnotationClass::Refused, "", "sends some requests to another Service"},
    {"canary-by-header-pattern", AnnotationClass::Refused, "",
     "sends some requests to another Service"},
    {"canary-by-header-value", AnnotationClass::Refused, "",
     "sends some requests to another Service"},
    {"canary-weight", AnnotationClass::Refused, "", "sends some requests to another Service"},
    {"canary-weight-total", AnnotationClass::Refused, "", "sends some requests to another Service"},
    {"client-body-buffer-size", AnnotationClass::Ignored, "",
     "sizes of nginx's buffers; ours are fixed"},
    {"configuration-snippet", AnnotationClass::Refused, "",
     "raw nginx configuration, which can do any of these"},
    {"connection-proxy-header", AnnotationClass::Ignored, "keep-alive",
     "form of the connection to the Service"},
    {"cors-allow-credentials", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"cors-allow-headers", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"cors-allow-methods", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"cors-allow-origin", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"cors-expose-headers", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"cors-max-age", AnnotationClass::Ignored, "",
     "without the headers browsers allow less, not more"},
    {"custom-headers", AnnotationClass::Ignored, "", "rewrites response headers only"},
    {"custom-http-errors", AnnotationClass::Ignored, "",
     "what an error looks like; the Service's own answer is passed on"},
    {"default-backend", AnnotationClass::Refused, "", "sends requests to another Service"},
    {"denylist-source-range", AnnotationClass::Implemented, "", "restricts client addresses"},
    {"disable-proxy-intercept-errors", AnnotationClass::Ignored, "false",
     "what an error looks like; the Service's own answer is passed on"},
    {"enable-access-log", AnnotationClass::Implemented, "", "access log on or off"},
    {"enable-cors", AnnotationClass::Ignored, "false",
     "without the headers browsers allow less, not more"},
    {"enable-global-auth", AnnotationClass::Implemented, "",
     "opts out of the ConfigMap's global-auth-url"},
    {"enable-influxdb", AnnotationClass::Ignored, "false", "logging and tracing only"},
    {"enable-modsecurity", AnnotationClass::Refused, "false", "filters requests"},
    {"enable-opentelemetry", AnnotationClass::Ignored, "false", "logging and tracing only"},
    {"enable-opentracing", AnnotationClass::Ignored, "false", "logging and tracing only"},
    {"enable-owasp-core-rules", AnnotationClass::Refused, "false", "filters requests"},
    {"enable-rewrite-log", AnnotationClass::Ignored, "false", "logging and tracing only"},
    {"fastcgi-index", AnnotationClass::Ignored, "", "of backend-protocol: FCGI, which is refused"},
    {"fastcgi-params-configmap", AnnotationClass::Ignored, "",
     "of backend-protocol: FCGI, which is refused"},
    {"force-ssl-redirect", AnnotationClass::Implemented, "", "redirects plain requests to https"},
    {"from-to-www-redirect", AnnotationClass::Refused, "false",
     "answers a redirect for a further host"},
    {"global-rate-limit", AnnotationClass::Refused, "0",
     "limits requests, connections or bandwidth"},
    {"global-rate-limit-ignored-cidrs", AnnotationClass::Refused, "",
     "limits requests, connections or bandwidth"},
    {"global-rate-limit-key", AnnotationClass::Refused, "",
     "limits requests, connections or bandwidth"},
    {"global-rate-limit-window", AnnotationClass::Refused, "",
     "limits requests, connections or bandwidth"},
    {"http2-push-preload", AnnotationClass::Ignored, "false", "obsolete in ingress-nginx too"},
    {"influxdb-host", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"influxdb-measurement", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"influxdb-port", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"influxdb-server-name", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"limit-allowlist", AnnotationClass::Refused, "", "limits requests, connections or bandwidth"},
    {"limit-burst-multiplier", AnnotationClass::Refused, "",
     "limits requests, connections or bandwidth"},
    {"limit-connections", AnnotationClass::Refused, "0",
     "limits requests, connections or bandwidth"},
    {"limit-rate", AnnotationClass::Refused, "0", "limits requests, connections or bandwidth"},
    {"limit-rate-after", AnnotationClass::Refused, "0",
     "limits requests, connections or bandwidth"},
    {"limit-rpm", AnnotationClass::Refused, "0", "limits requests, connections or bandwidth"},
    {"limit-rps", AnnotationClass::Refused, "0", "limits requests, connections or bandwidth"},
    {"limit-whitelist", AnnotationClass::Refused, "", "limits requests, connections or bandwidth"},
    {"load-balance", AnnotationClass::Implemented, "",
     "which of the Service's endpoints is chosen"},
    {"mirror-host", AnnotationClass::Refused, "", "sends a copy of each request elsewhere"},
    {"mirror-request-body", AnnotationClass::Refused, "", "sends a copy of each request elsewhere"},
    {"mirror-target", AnnotationClass::Refused, "", "sends a copy of each request elsewhere"},
    {"modsecurity-snippet", AnnotationClass::Refused, "", "filters requests"},
    {"modsecurity-transaction-id", AnnotationClass::Ignored, "",
     "an identifier in the log of a filter"},
    {"opentelemetry-operation-name", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"opentelemetry-trust-incoming-span", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"opentracing-trust-incoming-span", AnnotationClass::Ignored, "", "logging and tracing only"},
    {"permanent-redirect", AnnotationClass::Refused, "",
     "answers a redirect instead of the Service"},
    {"permanent-redirect-code", AnnotationClass::Ignored, "", "form of redirects only"},
    {"preserve-trailing-slash", AnnotationClass::Ignored, "false", "form of redirects only"},
    {"proxy-body-size", AnnotationClass::Implemented, "", "limits request bodies"},
    {"proxy-buffer-size", AnnotationClass::Ignored, "", "sizes of nginx's buffers; ours are fixed"},
    {"proxy-buffering", AnnotationClass::Implemented, "", "whether responses are buffered"},
    {"proxy-buffers-number", AnnotationClass::Ignored, "",
     "sizes of nginx's buffers; ours are fixed"},
    {"proxy-busy-buffers-size", AnnotationClass::Ignored, "",
     "sizes of nginx's buffers; ours are fixed"},
    {"proxy-connect-timeout", AnnotationClass::Implemented, "", "limits connecting to the Service"},
    {"proxy-cookie-domain", AnnotationClass::Ignored, "off", "rewrites response headers only"},
    {"proxy-cookie-path", AnnotationClass::Ignored, "off", "rewrites response headers only"},
    {"proxy-http-version", AnnotationClass::Ignored, "1.1",
     "form of the connection to the Service"},
    {"proxy-max-temp-file-size", AnnotationClass::Implemented, "",
     "how much of a buffered response may lie on disk"},
    {"proxy-next-upstream", AnnotationClass::Implemented, "", "when another endpoint is tried"},
    {"proxy-next-upstream-timeout", AnnotationClass::Implemented, "",
     "when another endpoint is tried"},
    {"proxy-next-upstream-tries", AnnotationClass::Implemented, "",
     "when another endpoint is tried"},
    {"proxy-read-timeout", AnnotationClass::Implemented, "", "limits waiting for the Service"},
    {"proxy-redirect-from", AnnotationClass::Ignored, "off", "rewrites response headers only"},
    {"proxy-redirect-to", AnnotationClass::Ignored, "off", "rewrites response headers only"},
    {"proxy-request-buffering", AnnotationClass::Implemented, "", "whether requests are buffered"},
    {"proxy-send-timeout", AnnotationClass::Implemented, "", "limits waiting for the Service"},
    {"proxy-ssl-ciphers", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-name", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-protocols", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-secret", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-server-name", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-verify", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"proxy-ssl-verify-depth", AnnotationClass::Implemented, "", "TLS to the Service"},
    {"relative-redirects", AnnotationClass::Ignored, "false", "form of redirects only"},
    {"rewrite-target", AnnotationClass::Refused, "", "changes the path that the Service gets"},
    {"satisfy", AnnotationClass::Refused, "all", "decides how restrictions combine"},
    {"secure-backends", AnnotationClass::Refused, "false",
     "removed from ingress-nginx; meant backend-protocol: HTTPS"},
    {"secure-verify-ca-secret", AnnotationClass::Refused, "",
     "removed from ingress-nginx; meant proxy-ssl-secret"},
    {"server-alias", AnnotationClass::Refused, "", "serves further hosts"},
    {"server-snippet", AnnotationClass::Refused, "",
     "raw nginx configuration, which can do any of these"},
    {"service-upstream", AnnotationClass::Ignored, "false",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-change-on-failure", AnnotationClass::Ignored, "false",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-conditional-samesite-none", AnnotationClass::Ignored, "false",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-domain", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-expires", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-hash", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-max-age", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-name", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-path", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-samesite", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"session-cookie-secure", AnnotationClass::Ignored, "",
     "which of the Service's endpoints is chosen; load-balance applies"},
    {"ssl-ciphers", AnnotationClass::Ignored, "", "front ciphers; the defaults apply"},
    {"ssl-passthrough", AnnotationClass::Implemented, "false",
     "hands the connection to the Service undecrypted"},
    {"ssl-prefer-server-ciphers", AnnotationClass::Ignored, "",
     "front ciphers; the defaults apply"},
    {"ssl-redirect", AnnotationClass::Implemented, "", "redirects plain requests to https"},
    {"stream-snippet", AnnotationClass::Refused, "",
     "raw nginx configuration, which can do any of these"},
    {"temporal-redirect", AnnotationClass::Refused, "",
     "answers a redirect instead of the Service"},
    {"temporal-redirect-code", AnnotationClass::Ignored, "", "form of redirects only"},
    {"upstream-ca", AnnotationClass::Implemented, "", "trusts the roots of the machine"},
    {"upstream-hash-by", AnnotationClass::Implemented, "",
     "which of the Service's endpoints is chosen"},
    {"upstream-hash-by-subset", AnnotationClass::Ignored, "false",
     "narrows upstream-hash-by to some endpoints; it takes one of all"},
    {"upstream-hash-by-subset-size", AnnotationClass::Ignored, "",
     "narrows upstream-hash-by to some endpoints; it takes one of all"},
    {"upstream-http2", AnnotationClass::Implemented, "", "HTTP/2 to the Service"},
    {"upstream-vhost", AnnotationClass::Refused, "", "changes the Host that the Service gets"},
    {"use-port-in-redirects", AnnotationClass::Ignored, "false", "form of redirects only"},
    {"use-regex", AnnotationClass::Refused, "false", "changes which paths match"},
    {"whitelist-source-range", AnnotationClass::Implemented, "", "restricts client addresses"},
    {"x-forwarded-prefix", AnnotationClass::Ignored, "",
     "one more request header, with rewrite-target only"},
});

constexpr bool is_sorted_without_duplicates() {
  for (std::size_t i = 1; i < kTable.size(); ++i) {
    if (kTable[i - 1].name >= kTable[i].name) return false;
  }
  return true;
}
static_assert(is_sorted_without_duplicates());

// Longer names are no typing mistakes; this also bounds the work on hostile input.
constexpr std::size_t kLongestTypo = 48;

// Levenshtein's distance of two names of at most kLongestTypo bytes.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::size_t, kLongestTypo + 1> row{};
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::span<const AnnotationRow> annotation_table() { return kTable; }

const AnnotationRow* find_annotation(std::string_view prefix, std::string_view name) {
  if (prefix != kOwnPrefix && std::ranges::find(kOwnOnly, name) != kOwnOnly.end()) return nullptr;
  const auto* row = std::lower_bound(
      kTable.begin(), kTable.end(), name,
      [](const AnnotationRow& left, std::string_view right) { return left.name < right; });
  return row != kTable.end() && row->name == name ? row : nullptr;
}

std::string_view closest_annotation(std::string_view name) {
  if (name.empty() || name.size() > kLongestTypo) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 4) + 1;
  for (const AnnotationRow& row : kTable) {
    if (row.name.size() > kLongestTypo) continue;
    const std::size_t distance = edit_distance(name, row.name);
    if (distance < best_distance) {
      best = row.name;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace handfast::translate
