// The values of auth-* annotations: what is read is what the proxy can use, and a URL's host is
// never anything that its text doesn't say.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "controller/translate/auth_values.h"
#include "proxy/base/check.h"
#include "proxy/config/request_expression.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

bool is_text(const std::string& text) {
  return config::parse_request_expression(text, config::ExpressionUse::Text).has_value();
}

void check_url(std::string_view value) {
  const auto url = translate::parse_auth_url(value);
  if (!url) {
    check(!url.error().detail.empty(), "refused without a sentence");
    return;
  }
  check(url->port != 0 && !url->host.empty(), "no host or port");
  check(url->target.starts_with('/') && is_text(url->target), "a target that can't be asked");
  check(url->host.find_first_of("$@/?# ") == std::string::npos, "a host that is none");
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  check_url(text);
  if (const auto signin = translate::parse_signin(text, "rd")) {
    check(is_text(*signin), "a sign-in page that can't be made");
    check(signin->starts_with("http"), "no URL");
  }
  if (const auto headers = translate::parse_auth_headers(text)) {
    for (const std::string& name : *headers) check(config::is_auth_header(name), "no header");
  }
  if (const auto rules = translate::parse_cache_durations(text)) {
    for (const auto& rule : *rules) check(rule.seconds > 0, "kept for no time");
  }
  static_cast<void>(translate::parse_auth_text(text));
  static_cast<void>(translate::split_cluster_host(text, "cluster.local"));
}

}  // namespace handfast
