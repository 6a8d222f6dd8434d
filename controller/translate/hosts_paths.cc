#include "controller/translate/hosts_paths.h"

#include <algorithm>
#include <tuple>

#include "controller/translate/findings.h"

namespace handfast::translate {
namespace {

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
}

}  // namespace

const config::Route* HostPlan::claim(Route route) {
  std::pair key{route.route.path, route.route.type};
  const auto [owner, added] = routes.try_emplace(std::move(key), std::move(route));
  return added ? nullptr : &owner->second.route;
}

PathRule root_path() { return {.path = "/", .type = config::PathType::Prefix}; }

Result<PathRule> make_path_rule(const objects::IngressPath& path) {
  const bool exact = path.type == objects::IngressPathType::Exact;
  PathRule rule{.path = path.path.empty() ? "/" : path.path,
                .type = exact ? config::PathType::Exact : config::PathType::Prefix};
  if (rule.path.front() != '/' || has_control(rule.path)) {
    return fail(Reason::InvalidValue,
                quoted(path.path) + " is not a path: it must begin with '/' and be printable.");
  }
  if (!exact) {
    while (rule.path.size() > 1 && rule.path.back() == '/') rule.path.pop_back();
  }
  return rule;
}

std::string find_path_doubt(const objects::IngressPath& path) {
  const std::string_view text = path.path;
  if (path.type == objects::IngressPathType::ImplementationSpecific &&
      text.find_first_of("*()[]|^$\\") != std::string_view::npos) {
    return quoted(text) + " is taken literally, not as a regular expression.";
  }
  if (text.find("//") != std::string_view::npos || text.find("/./") != std::string_view::npos ||
      text.find("/../") != std::string_view::npos || text.ends_with("/..") ||
      text.ends_with("/.")) {
    return quoted(text) +
           " matches nothing: requests are matched after \"//\", \".\" and \"..\" "
           "are resolved.";
  }
  return {};
}

config::VirtualHost finish_host(HostPlan plan) {
  config::VirtualHost host = std::move(plan.shard);
  host.routes.reserve(plan.routes.size());
  for (auto& [key, each] : plan.routes) {
    if (each.client != nullptr) {
      each.route.client = access_for(each.route, *each.client, plan.client_owner);
    }
    // What asks for a certificate is served over TLS alone, with or without a tls section.
    const bool has_tls = host.tls || each.route.client.has_value();
    each.route.ssl_redirect = each.redirect_always || (each.redirect_with_tls && has_tls);
    host.routes.push_back(std::move(each.route));
  }
  std::sort(host.routes.begin(), host.routes.end(),
            [](const config::Route& left, const config::Route& right) {
              if (left.path.size() != right.path.size()) {
                return left.path.size() > right.path.size();
              }
              return std::tie(left.path, left.type) < std::tie(right.path, right.type);
            });
  return host;
}

}  // namespace handfast::translate
