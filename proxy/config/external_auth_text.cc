#include "proxy/config/external_auth_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "proxy/config/emit.h"
#include "proxy/config/request_expression.h"
#include "proxy/config/words.h"

namespace handfast::config {
namespace {

// Those of framing and of one hop, and those that forwarding sets, as http/header_id.h folds them.
constexpr std::array<std::string_view, 34> kNotCopied{
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "ssl-client-cert",
    "ssl-client-issuer-dn",
    "ssl-client-subject-dn",
    "ssl-client-verify",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-original-forwarded-for",
    "x-original-forwarded-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-scheme",
    "x-sent-from",
    "x-auth-request-redirect",
};

bool is_token_char(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

[[nodiscard]] tl::unexpected<Error> bad(std::string_view field, std::string_view name,
                                        std::string_view what) {
  std::string detail(field);
  return fail(Reason::BadObject, detail.append(".").append(name).append(": ").append(what));
}

Status check_expression(std::string_view field, std::string_view name, const std::string& text) {
  if (text.empty()) return {};
  // A field's value, or a part of a URL.
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(text, is_control)) return bad(field, name, "holds control characters");
  const auto parsed = parse_request_expression(text, ExpressionUse::Text);
  return parsed ? Status{} : bad(field, name, parsed.error().detail);
}

Status check_cache(const ExternalAuth& auth, std::string_view field) {
  if (auth.cache_key.empty() != auth.cache.empty()) {
    return bad(field, "cache", "goes with cache_key, and only then");
  }
  for (const AuthCacheRule& rule : auth.cache) {
    if (rule.seconds == 0) return bad(field, "cache", "holds a rule of no seconds");
    if (!std::ranges::is_sorted(rule.statuses)) return bad(field, "cache", "must be sorted");
  }
  return {};
}

AuthCacheRule read_cache_rule(Fields& fields) {
  AuthCacheRule rule;
  rule.seconds = fields.number32_or("seconds", 1, 0);
  for (const std::string& text : fields.texts("statuses")) {
    const bool number =
        text.size() == 3 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    if (!number) fields.problem("statuses", "holds what is no status");
    rule.statuses.push_back(number ? static_cast<std::uint16_t>(std::stoi(text)) : 0);
  }
  return rule;
}

}  // namespace

bool is_auth_header(std::string_view name) {
  if (name.size() > 128 || !is_token(name)) return false;
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    } else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
      c = '-';
    }
  }
  return std::ranges::find(kNotCopied, folded) == kNotCopied.end();
}

ExternalAuth read_external_auth(Fields& fields) {
  ExternalAuth auth;
  auth.service = fields.text("service");
  auth.upstream_tls = fields.text_or("upstream_tls", "");
  const std::string http2 = fields.text_or("http2", std::string(word_of(kHttp2Words, Http2::Off)));
  if (const auto word = find_word(kHttp2Words, http2)) {
    auth.http2 = *word;
  } else {
    fields.problem("http2", "must be one of Off, Offer, Require");
  }
  auth.authority = fields.text("authority");
  auth.target = fields.text("target");
  auth.method = fields.text_or("method", "");
  auth.signin = fields.text_or("signin", "");
  auth.response_headers = fields.texts("response_headers");
  auth.request_redirect = fields.text_or("request_redirect", "");
  auth.set_headers = fields.maps("set_headers", [](Fields& one) {
    std::string name = one.text("name");
    return std::pair{std::move(name), one.text_or("value", "")};
  });
  auth.always_set_cookie = fields.flag_or("always_set_cookie", false);
  auth.cache_key = fields.text_or("cache_key", "");
  auth.cache = fields.maps("cache", read_cache_rule);
  return auth;
}

void append_external_auth(std::string& out, int indent, const Rare<ExternalAuth>& auth) {
  if (!auth) return;
  Lines{out, indent}.open("auth");
  Lines lines{out, indent + 2};
  const auto text = [&lines](std::string_view name, const std::string& value) {
    if (!value.empty()) lines.text(name, value);
  };
  lines.text("service", auth->service);
  text("upstream_tls", auth->upstream_tls);
  if (auth->http2 != Http2::Off) lines.text("http2", word_of(kHttp2Words, auth->http2));
  lines.text("authority", auth->authority);
  lines.text("target", auth->target);
  text("method", auth->method);
  text("signin", auth->signin);
  if (!auth->response_headers.empty()) lines.texts("response_headers", auth->response_headers);
  text("request_redirect", auth->request_redirect);
  if (!auth->set_headers.empty()) lines.open("set_headers");
  for (const auto& [name, value] : auth->set_headers) {
    Lines element{out, indent + 6};
    element.begin_element();
    element.text("name", name);
    element.text("value", value);
  }
  if (auth->always_set_cookie) lines.flag("always_set_cookie", true);
  text("cache_key", auth->cache_key);
  if (!auth->cache.empty()) lines.open("cache");
  for (const AuthCacheRule& rule : auth->cache) {
    Lines element{out, indent + 6};
    element.begin_element();
    element.number("seconds", std::uint64_t{rule.seconds});
    std::vector<std::string> statuses;
    for (const std::uint16_t status : rule.statuses) statuses.push_back(std::to_string(status));
    if (!statuses.empty()) element.texts("statuses", statuses);
  }
}

Status check_external_auth(const ExternalAuth& auth, std::string_view field) {
  if (auth.service.empty()) return bad(field, "service", "is missing");
  if (auth.http2 == Http2::Offer && auth.upstream_tls.empty()) {
    return bad(field, "http2", "is Offer, but without TLS nothing can be offered");
  }
  const bool visible =
      std::ranges::all_of(auth.authority, [](char c) { return c > ' ' && c < 0x7f; });
  if (auth.authority.empty() || !visible) return bad(field, "authority", "must be a host");
  if (!auth.target.starts_with('/')) return bad(field, "target", "must begin with '/'");
  if (!auth.method.empty() && (!is_token(auth.method) || auth.method.size() > 32)) {
    return bad(field, "method", "must be a method");
  }
  if (auth.response_headers.size() > kMostAuthHeaders ||
      auth.set_headers.size() > kMostAuthHeaders) {
    return bad(field, "response_headers", "and set_headers must be fewer");
  }
  for (const std::string& name : auth.response_headers) {
    if (!is_auth_header(name)) return bad(field, "response_headers", "holds one that is ours");
  }
  for (const auto& [name, value] : auth.set_headers) {
    if (!is_auth_header(name)) return bad(field, "set_headers", "holds one that is ours");
    if (Status good = check_expression(field, "set_headers", value); !good) return good;
  }
  const std::pair<std::string_view, const std::string*> expressions[] = {
      {"target", &auth.target},
      {"signin", &auth.signin},
      {"request_redirect", &auth.request_redirect},
      {"cache_key", &auth.cache_key}};
  for (const auto& [name, text] : expressions) {
    if (Status good = check_expression(field, name, *text); !good) return good;
  }
  return check_cache(auth, field);
}

}  // namespace handfast::config
