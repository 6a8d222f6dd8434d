#pragma once
// Which route of a host serves a path: the longest match wins, Exact before Prefix.
//
// Prefix matches by element (Kubernetes' Ingress API): "/foo" and "/foo/" match "/foo", "/foo/" and
// "/foo/bar", not "/foobar". Immutable after construction; any number of threads.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/model.h"

namespace handfast::route {

class RouteTable {
 public:
  explicit RouteTable(const std::vector<config::Route>& routes);

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // Index into the routes given to the constructor, or kNone. `path` is normalised (http/path.h).
  // Cost: one hash per element of the path, at most as many as the longest rule has, and a binary
  // search for each.
  [[nodiscard]] std::size_t find(std::string_view path) const;

 private:
  struct Rule {
    std::size_t hash;  // of `path`
    std::string path;
    std::size_t route;
  };
  // Sorted by hash; of equal paths the first route comes first. Most hosts have one route, for
  // which a hash table would take three times the room.
  using Index = std::vector<Rule>;

  static void sort(Index& index);
  [[nodiscard]] static std::size_t find(const Index& index, std::string_view path);

  Index prefixes_;  // by path without trailing slashes: "" for "/"
  Index exact_;
  std::size_t longest_prefix_ = 0;
};

}  // namespace handfast::route
