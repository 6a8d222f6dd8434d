#include "controller/kube/resource.h"

#include "proxy/base/hex.h"

namespace handfast::kube {

std::string Resource::api_version(std::size_t version) const {
  std::string text(group);
  if (!group.empty()) text += '/';
  return text.append(versions[version]);
}

std::string Resource::full_name() const {
  std::string text(plural);
  if (!group.empty()) text.append(".").append(group);
  return text;
}

std::string collection_path(const Resource& resource, std::size_t version, std::string_view ns) {
  std::string path = resource.group.empty() ? "/api/" : "/apis/";
  path += resource.api_version(version);
  if (!ns.empty()) path.append("/namespaces/").append(ns);
  return path.append("/").append(resource.plural);
}

std::string object_path(const Resource& resource, std::size_t version, std::string_view ns,
                        std::string_view name) {
  return collection_path(resource, version, ns) + "/" + percent_encode(name);
}

}  // namespace handfast::kube
