#include "proxy/config/model.h"

#include <openssl/evp.h>

#include <cinttypes>
#include <cstdio>

#include "proxy/base/check.h"
#include "proxy/base/hex.h"

namespace handfast::config {

std::array<unsigned char, 32> sha256(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  unsigned int length = 0;
  check(
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1 &&
          length == digest.size(),
      "SHA-256 is not available");
  return digest;
}

std::string shard_name(const Shard& shard) {
  struct Namer {
    std::string operator()(const VirtualHost& host) const { return "host/" + host.host; }
    std::string operator()(const Service& service) const { return "service/" + service.name; }
    std::string operator()(const UpstreamTls& tls) const { return "tls/" + tls.name; }
    std::string operator()(const TcpPort& tcp) const { return "tcp/" + std::to_string(tcp.port); }
    std::string operator()(const Front&) const { return "front/"; }
  };
  return std::visit(Namer{}, shard);
}

std::uint8_t bucket_of(std::string_view shard_name) { return sha256(shard_name)[0]; }

std::string sha256_hex(std::string_view bytes) {
  const auto digest = sha256(bytes);
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const unsigned char byte : digest) append_hex(hex, byte);
  return hex;
}

std::string content_hash(const std::map<std::string_view, std::string_view>& files) {
  std::string all;
  for (const auto& [name, bytes] : files) {
    all.append(name).append(" ").append(std::to_string(bytes.size())).append("\n").append(bytes);
  }
  return sha256_hex(all);
}

std::string generation_directory(std::uint64_t generation) {
  // Twelve digits keep the names in order; a larger number only becomes longer.
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "generations/%012" PRIu64, generation);
  return name.data();
}

std::string shard_path(std::string_view sha256) {
  std::string path = "shards/";
  path.append(sha256.substr(0, 2)).append("/").append(sha256).append(".yaml");
  return path;
}

}  // namespace handfast::config
