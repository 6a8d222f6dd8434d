#include "controller/kube/resource.h"

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
  return collection_path(resource, version, ns) + "/" + escape(name);
}

std::string escape(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace handfast::kube
