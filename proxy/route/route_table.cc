#include "proxy/route/route_table.h"

#include <algorithm>

#include "proxy/base/string_hash.h"

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
      exact_.push_back({StringHash()(route.path), route.path, i});
      continue;
    }
    const std::string_view key = without_trailing_slashes(route.path);
    longest_prefix_ = std::max(longest_prefix_, key.size());
    prefixes_.push_back({StringHash()(key), std::string(key), i});
  }
  sort(exact_);
  sort(prefixes_);
}

void RouteTable::sort(Index& index) {
  std::ranges::stable_sort(index, {}, &Rule::hash);
  index.shrink_to_fit();
}

std::size_t RouteTable::find(const Index& index, std::string_view path) {
  const std::size_t hash = StringHash()(path);
  auto rule = std::ranges::lower_bound(index, hash, {}, &Rule::hash);
  for (; rule != index.end() && rule->hash == hash; ++rule) {
    if (rule->path == path) return rule->route;
  }
  return kNone;
}

std::size_t RouteTable::find(std::string_view path) const {
  if (!exact_.empty()) {
    if (const std::size_t found = find(exact_, path); found != kNone) return found;
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
    if (const std::size_t found = find(prefixes_, key); found != kNone) return found;
    if (key.empty()) return kNone;
    const std::size_t slash = key.rfind('/');
    key = key.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
}

}  // namespace handfast::route
