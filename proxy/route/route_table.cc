#include "proxy/route/route_table.h"

namespace handfast::route {
namespace {

std::string_view without_trailing_slashes(std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

RouteTable::RouteTable(const std::vector<config::Route>& routes) {
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const config::Route& route = routes[i];
    if (route.type == config::PathType::Exact) {
      exact_.try_emplace(route.path, i);
      continue;
    }
    const std::string_view key = without_trailing_slashes(route.path);
    if (key.size() > longest_prefix_) longest_prefix_ = key.size();
    prefixes_.try_emplace(std::string(key), i);
  }
}

std::size_t RouteTable::find(std::string_view path) const {
  if (!exact_.empty()) {
    if (const auto found = exact_.find(path); found != exact_.end()) return found->second;
  }
  if (prefixes_.empty()) return kNone;
  std::string_view key = without_trailing_slashes(path);
  if (key.size() > longest_prefix_) {
    // No longer rule exists: cut at the last element that could still match.
    const bool at_boundary = key[longest_prefix_] == '/';
    key = key.substr(0, longest_prefix_);
    if (!at_boundary) key = key.substr(0, key.rfind('/'));  // every path begins with '/'
  }
  for (;;) {
    if (const auto found = prefixes_.find(key); found != prefixes_.end()) return found->second;
    if (key.empty()) return kNone;
    const std::size_t slash = key.rfind('/');
    key = key.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
}

}  // namespace handfast::route
