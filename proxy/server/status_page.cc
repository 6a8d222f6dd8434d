#include "proxy/server/status_page.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "proxy/http/chars.h"
#include "proxy/server/status_files.h"

namespace handfast::server {
namespace {

constexpr std::string_view kPlain = "text/plain; charset=utf-8";

HttpReply reply(int status, std::string_view type, std::string body) {
  return {status, std::string(type), std::move(body)};
}

}  // namespace

const std::string_view kAdminHeaders =
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n";

bool is_own_host(std::string_view host) {
  std::string name(host);
  std::ranges::transform(name, name.begin(), http::to_lower);
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') {
    name = name.substr(1, name.size() - 2);
  }
  return net::Address::from_ip(name, 0).has_value();
}

void StatusPage::answer(const HttpRequest& request, const HttpService::Answer& answer) {
  if (request.path == "/") {
    answer(reply(200, "text/html; charset=utf-8", std::string(kStatusHtml)));
  } else if (request.path == "/page.css") {
    answer(reply(200, "text/css; charset=utf-8", std::string(kStatusCss)));
  } else if (request.path == "/page.js") {
    answer(reply(200, "text/javascript; charset=utf-8", std::string(kStatusJs)));
  } else if (request.path == "/status.json") {
    answer_json(request, answer);
  } else {
    answer(reply(404, kPlain, "not found; here are /, /status.json and /v1/state\n"));
  }
}

void StatusPage::answer_json(const HttpRequest& request, const HttpService::Answer& answer) {
  auto query = parse_status_query(request.query);
  if (!query) {
    answer(reply(400, kPlain, query.error().detail + "\n"));
    return;
  }
  if (waiting_ >= kMostWaiting) {
    answer(reply(503, kPlain, "too many questions at once\n"));
    return;
  }
  ++waiting_;
  crew_.post([this, answer, query = *std::move(query), facts = facts_(),
              snapshot = loader_.served()]() mutable {
    std::string text = status_json(facts, snapshot.get(), handshakes_.all(), query);
    // It may be the last reference by now.
    loader_.post([held = std::move(snapshot)] {});
    loop_.post([this, answer, text = std::move(text)]() mutable {
      --waiting_;
      answer(reply(200, "application/json", std::move(text)));
    });
  });
}

}  // namespace handfast::server
