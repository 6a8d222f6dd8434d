#pragma once
// Which route of a host serves a path: the longest match wins, Exact before Prefix.
//
// Prefix matches by element (Kubernetes' Ingress API): "/foo" and "/foo/" match "/foo", "/foo/" and
// "/foo/bar", not "/foobar". Immutable after construction; any number of threads.

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/string_hash.h"
#include "proxy/config/model.h"

namespace handfast::route {

class RouteTable {
 public:
  explicit RouteTable(const std::vector<config::Route>& routes);

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // Index into the routes given to the constructor, or kNone. `path` is normalised (http/path.h).
  // Cost: one hash per element of the path, at most as many as the longest rule has.
  [[nodiscard]] std::size_t find(std::string_view path) const;

 private:
  using Index = std::unordered_map<std::string, std::size_t, StringHash, std::equal_to<>>;
  Index prefixes_;  // by path without trailing slashes: "" for "/"
  Index exact_;
  std::size_t longest_prefix_ = 0;
};

}  // namespace handfast::route
