#include "controller/translate/source_ranges.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "controller/translate/names.h"
#include "proxy/base/network_set.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kAllow = "allowlist-source-range";
constexpr std::string_view kAllowOnce = "whitelist-source-range";
constexpr std::string_view kDeny = "denylist-source-range";

// As NetworkSet wants them. nginx cuts bits behind the prefix off, and so do we.
Result<std::vector<std::string>> parse_networks(const Annotation& annotation,
                                                ObjectReport& report) {
  std::vector<std::string> networks;
  std::string_view rest = annotation.value;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    const std::string_view written = trim(rest.substr(0, comma));
    if (more) rest.remove_prefix(comma + 1);
    auto network = clear_host_bits(clip(written));
    if (!network) return fail(network.error().reason, network.error().detail + '.');
    if (written.find('/') != std::string_view::npos && !NetworkSet::parse({std::string{written}})) {
      report.warn(Reason::InvalidValue, annotation.field(),
                  quoted(written) + " has bits set behind its prefix: " + *network + " counts.",
                  "Write the network, or the address alone.");
    }
    networks.push_back(*std::move(network));
  }
  std::ranges::sort(networks);
  networks.erase(std::ranges::unique(networks).begin(), networks.end());
  return networks;
}

const Annotation* find_allowed(const Annotations& annotations, ObjectReport& report) {
  const Annotation* const now = annotations.find(kAllow);
  const Annotation* const once = annotations.find(kAllowOnce);
  if (now == nullptr) return once;
  if (once != nullptr && once->value != now->value) {
    report.warn(Reason::Conflict, once->field(), "allowlist-source-range is there too and decides.",
                "Remove one of the two.");
  }
  return now;
}

std::size_t count_routes(const objects::Ingress& ingress) {
  std::size_t count = ingress.default_backend ? 1 : 0;
  for (const objects::IngressRule& rule : ingress.rules) {
    count += rule.paths.size() + (ingress.default_backend ? 1 : 0);
  }
  return count;
}

bool holds_all(const std::vector<std::string>& networks) {
  const auto has = [&networks](std::string_view one) {
    return std::ranges::find(networks, one) != networks.end();
  };
  return has("0.0.0.0/0") && has("::/0");
}

}  // namespace

std::optional<config::SourceRanges> read_source_ranges(const objects::Ingress& ingress,
                                                       const Annotations& annotations,
                                                       ObjectReport& report,
                                                       std::optional<config::Refusal>& refused) {
  config::SourceRanges ranges;
  const auto read = [&](const Annotation* found, std::vector<std::string>& networks) {
    if (found == nullptr) return;
    auto parsed = parse_networks(*found, report);
    if (parsed) {
      networks = *std::move(parsed);
      return;
    }
    keep_first(refused,
               report.refuse(Reason::InvalidValue, found->field(), parsed.error().detail,
                             "Write networks like \"10.0.0.0/8,2001:db8::/32\", or remove it."));
  };
  const Annotation* const deny = annotations.find(kDeny);
  const Annotation* const allow = find_allowed(annotations, report);
  read(deny, ranges.denied);
  read(allow, ranges.allowed);
  if (holds_all(ranges.allowed)) ranges.allowed.clear();
  if (ranges.denied.empty() && ranges.allowed.empty()) return std::nullopt;
  const std::size_t networks = ranges.denied.size() + ranges.allowed.size();
  const std::size_t routes = count_routes(ingress);
  if (networks * routes <= kMostSourceRanges) return ranges;
  const Annotation& longer = ranges.denied.size() > ranges.allowed.size() ? *deny : *allow;
  keep_first(refused, report.refuse(Reason::InvalidValue, longer.field(),
                                    std::to_string(networks) + " networks for each of " +
                                        std::to_string(routes) + " paths are more than " +
                                        std::to_string(kMostSourceRanges) + " together.",
                                    "Join networks, or use fewer paths."));
  return std::nullopt;
}

bool is_source_range(std::string_view annotation) {
  constexpr std::array kAll{kAllow, kAllowOnce, kDeny};
  return std::ranges::find(kAll, annotation) != kAll.end();
}

}  // namespace handfast::translate
