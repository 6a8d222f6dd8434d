#pragma once
// A kind of objects as the API server has it, and the addresses of its collections. Pure.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace handfast::kube {

// All text lives as long as the program.
struct Resource {
  std::string_view kind;
  std::string_view plural;
  std::string_view group;                    // empty: the core group
  std::array<std::string_view, 2> versions;  // in the order in which they are asked for
  bool is_namespaced = true;
  // A kind that a cluster may not have at all: a 404 means that there are none.
  bool may_be_absent = false;

  [[nodiscard]] std::size_t version_count() const { return versions[1].empty() ? 1 : 2; }
  [[nodiscard]] std::string api_version(std::size_t version) const;  // "networking.k8s.io/v1"
  [[nodiscard]] std::string full_name() const;  // "ingresses.networking.k8s.io", "secrets"
};

inline constexpr Resource kPods{.kind = "Pod", .plural = "pods", .group = "", .versions = {"v1"}};

// "/apis/networking.k8s.io/v1/namespaces/shop/ingresses"; without `ns` of all namespaces.
[[nodiscard]] std::string collection_path(const Resource& resource, std::size_t version,
                                          std::string_view ns);
[[nodiscard]] std::string object_path(const Resource& resource, std::size_t version,
                                      std::string_view ns, std::string_view name);

}  // namespace handfast::kube
