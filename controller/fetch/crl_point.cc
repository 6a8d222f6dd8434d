#include "controller/fetch/crl_point.h"

#include <algorithm>
#include <utility>

namespace handfast::fetch {
namespace {

constexpr std::string_view kScheme = "http://";

tl::unexpected<Error> invalid(std::string_view text, std::string_view what) {
  return fail(Reason::InvalidValue, "--crl-fetch: " + std::string(text) + ": " + std::string(what));
}

bool is_visible(char c) { return c > ' ' && c < 0x7f; }

}  // namespace

Result<CrlPoint> parse_crl_point(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return invalid(text, "must be CA-FILE=URL");
  }
  const std::string_view url = text.substr(equals + 1);
  if (url.starts_with("https://")) {
    return invalid(text, "a list is signed, and is fetched by http://");
  }
  if (!url.starts_with(kScheme)) return invalid(text, "the URL must begin with http://");
  const std::string_view rest = url.substr(kScheme.size());
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.empty() || authority.size() == rest.size()) {
    return invalid(text, "the URL must have a host and a path");
  }
  if (authority.starts_with('[')) {
    return invalid(text, "an IPv6 address isn't supported: name the host by a DNS name");
  }
  if (!std::ranges::all_of(url, is_visible) || authority.find('@') != std::string_view::npos ||
      url.find('#') != std::string_view::npos) {
    return invalid(text, "must be a URL without blanks, user and fragment");
  }
  return CrlPoint{std::string(text.substr(0, equals)), std::string(url)};
}

void add_flags(OptionSet& options) {
  options.add_repeated("crl-fetch", "CA-FILE=URL",
                       "a CRL that is fetched, and holds for everybody");
}

Result<std::vector<CrlPoint>> read_flags(const ParsedOptions& parsed) {
  std::vector<CrlPoint> points;
  for (const std::string& text : parsed.list("crl-fetch")) {
    auto point = parse_crl_point(text);
    if (!point) return fail(std::move(point.error()));
    if (std::ranges::find(points, point->url, &CrlPoint::url) != points.end()) {
      return invalid(text, "the URL stands twice");
    }
    points.push_back(std::move(*point));
  }
  return points;
}

}  // namespace handfast::fetch
