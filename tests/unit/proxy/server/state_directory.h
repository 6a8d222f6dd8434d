#pragma once
// A state directory in a temporary place, written as the controller would, or wrongly on purpose.

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/config/text.h"
#include "tests/support/test_authority.h"

namespace handfast::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "handfast-XXXXXX";
    check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class StateDirectory {
 public:
  [[nodiscard]] const std::string& path() const { return directory_.path(); }

  void put(const std::string& name, const std::string& bytes) {
    const std::filesystem::path whole = std::filesystem::path(path()) / name;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole, std::ios::binary) << bytes;
  }
  [[nodiscard]] std::string get(const std::string& name) const {
    std::ifstream in(std::filesystem::path(path()) / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // Files of one item; answers their directory below the state directory.
  std::string put_item(const std::string& secret,
                       const std::vector<std::pair<std::string, std::string>>& files) {
    std::map<std::string_view, std::string_view> hashed;
    for (const auto& [name, bytes] : files) hashed.emplace(name, bytes);
    const std::string item =
        "tls/shop/" + secret + "/" + config::content_hash(hashed).substr(0, 16);
    for (const auto& [name, bytes] : files) put(item + "/" + name, bytes);
    return item;
  }
  config::KeyPairRef put_pair(const std::string& secret, const TestCertificate& certificate) {
    const std::string item = put_item(
        secret, {{"tls.crt", certificate.chain_pem()}, {"tls.key", certificate.key_pem()}});
    return {item + "/tls.crt", item + "/tls.key", "Secret/shop/" + secret};
  }
  config::FileRef put_file(const std::string& secret, const std::string& name,
                           const std::string& bytes) {
    return {put_item(secret, {{name, bytes}}) + "/" + name, "Secret/shop/" + secret};
  }

  // Writes shards, buckets and index; `current` stays as it is.
  void write(std::uint64_t generation, const std::vector<config::Shard>& shards,
             std::optional<config::KeyPairRef> default_certificate = {}) {
    config::Index index;
    index.generation = generation;
    index.time = kYear2026;
    index.default_certificate = std::move(default_certificate);
    std::array<config::Bucket, config::kBucketCount> buckets;
    for (const config::Shard& shard : shards) {
      const std::string name = config::shard_name(shard);
      buckets[config::bucket_of(name)][name] = put_addressed(config::serialize(shard));
    }
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      if (!buckets[i].empty()) index.buckets[i] = put_addressed(config::serialize(buckets[i]));
    }
    put(config::generation_directory(generation) + "/index.yaml", config::serialize(index));
  }
  void make_current(std::uint64_t generation) {
    const std::filesystem::path link = std::filesystem::path(path()) / "current";
    const std::filesystem::path fresh = std::filesystem::path(path()) / "current.new";
    std::filesystem::create_symlink(config::generation_directory(generation), fresh);
    std::filesystem::rename(fresh, link);
  }

  std::string put_addressed(const std::string& text) {
    const std::string hash = config::sha256_hex(text);
    put(config::shard_path(hash), text);
    return hash;
  }

 private:
  TemporaryDirectory directory_;
};

// A host, its Service and its policy, all of one name.
struct App {
  config::VirtualHost host;
  config::Service service;
  config::UpstreamTls tls;
  [[nodiscard]] std::vector<config::Shard> shards() const { return {host, service, tls}; }
};

inline App make_app(StateDirectory& state, const std::string& name, const TestAuthority& root) {
  App app;
  app.tls.name = "shop/" + name + "/" + name + ":443";
  app.tls.identity = state.put_pair(name, root.issue("client-" + name));
  app.tls.ca = {state.put_file(name, "ca.crt", root.cert_pem())};
  app.tls.names = {name + ".shop.svc"};
  app.tls.versions = {config::TlsVersion::Tls12, config::TlsVersion::Tls13};

  app.service.name = "shop/" + name + ":443";
  app.service.endpoints = {{"127.0.0.1", 8443, true, true, false}};

  config::Route route;
  route.path = "/";
  route.ingress_namespace = "shop";
  route.ingress = name;
  route.service = app.service.name;
  route.protocol = config::BackendProtocol::Https;
  route.upstream_tls = app.tls.name;
  app.host.host = name + ".example";
  app.host.routes = {route};
  return app;
}

}  // namespace handfast::testing
