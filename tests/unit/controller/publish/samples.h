#pragma once
// Content to publish, a reader that believes nothing, and a proxy that does as it is told.

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "controller/publish/file_system.h"
#include "controller/publish/publisher.h"
#include "proxy/config/pack.h"
#include "proxy/config/text.h"
#include "tests/support/times.h"

namespace handfast::publish::testing {

// Adds the files of one item and answers their directory.
inline std::string add_item(Content& content, const std::string& secret,
                            const std::vector<std::pair<std::string, std::string>>& files) {
  std::map<std::string_view, std::string_view> hashed;
  for (const auto& [name, bytes] : files) hashed.emplace(name, bytes);
  const std::string directory =
      "tls/shop/" + secret + "/" + config::content_hash(hashed).substr(0, 16);
  for (const auto& [name, bytes] : files) content.files[directory + "/" + name] = bytes;
  return directory;
}

// A host, a Service and a policy called `app`, whose key pair and CA have the given contents.
inline void add_app(Content& content, const std::string& app, const std::string& pair,
                    const std::string& ca) {
  config::UpstreamTls tls;
  tls.name = "shop/" + app + "/" + app + ":443";
  const std::string identity =
      add_item(content, app, {{"tls.crt", "cert " + pair}, {"tls.key", "key " + pair}});
  const std::string source = "Secret/shop/" + app;
  tls.identity = config::KeyPairRef{identity + "/tls.crt", identity + "/tls.key", source};
  tls.ca = {{add_item(content, app, {{"ca.crt", ca}}) + "/ca.crt", source}};
  tls.names = {app + ".shop.svc"};
  tls.versions = {config::TlsVersion::Tls13};

  config::Service service;
  service.name = "shop/" + app + ":443";
  service.endpoints = {{"10.0.0.7", 8443, true, true, false}};

  config::Route route;
  route.path = "/";
  route.service = service.name;
  route.protocol = config::BackendProtocol::Https;
  route.upstream_tls = tls.name;
  config::VirtualHost host;
  host.host = app + ".example";
  host.routes = {route};

  content.shards.emplace_back(std::move(host));
  content.shards.emplace_back(std::move(service));
  content.shards.emplace_back(std::move(tls));
}

// What `current` leads to: every shard's text by name, and every file that they name.
struct Seen {
  std::uint64_t generation = 0;
  std::map<std::string, std::string> shards;
  std::map<std::string, std::string> files;
};

inline Result<std::string> read_whole(FileSystem& files, const std::string& path) {
  auto text = files.read_file(path);
  if (!text) return fail(text.error());
  if (!*text) return fail(Reason::BadObject, path + " is missing");
  return **text;
}

inline Result<Seen> read_current(FileSystem& files) {
  Seen seen;
  const auto link = files.read_symlink("current");
  if (!link || !*link) return fail(Reason::BadObject, "no current");
  const auto text = read_whole(files, **link + "/index.yaml");
  if (!text) return fail(text.error());
  const auto index = config::parse_index(*text);
  if (!index) return fail(index.error());
  seen.generation = index->generation;
  for (const std::string& hash : index->buckets) {
    if (hash.empty()) continue;
    const auto bucket_text = read_whole(files, config::shard_path(hash));
    if (!bucket_text) return fail(bucket_text.error());
    const config::Pack pack = config::split_pack(*bucket_text);
    if (config::sha256_hex(pack.bucket) != hash) return fail(Reason::BadObject, "a torn bucket");
    const auto bucket = config::parse_bucket(pack.bucket);
    if (!bucket) return fail(bucket.error());
    for (const auto& [name, shard_hash] : *bucket) {
      const auto packed = pack.shards.find(shard_hash);
      const auto shard = packed != pack.shards.end()
                             ? Result<std::string>(std::string(packed->second))
                             : read_whole(files, config::shard_path(shard_hash));
      if (!shard) return fail(shard.error());
      if (config::sha256_hex(*shard) != shard_hash) return fail(Reason::BadObject, "a torn shard");
      seen.shards[name] = *shard;
      const auto parsed = config::parse_shard(*shard);
      if (!parsed) return fail(parsed.error());
      for (const std::string& directory : tls_directories(*parsed)) {
        const auto entries = files.list(directory);
        if (!entries || !*entries) return fail(Reason::BadObject, directory + " is missing");
        for (const auto& entry : **entries) {
          const std::string path = directory + "/" + entry.name;
          seen.files[path] = read_whole(files, path).value_or("missing");
        }
      }
    }
  }
  return seen;
}

// Whether `seen` is exactly `content`, file by file.
inline bool is_whole(const Seen& seen, const Content& content) {
  std::map<std::string, std::string> shards;
  for (const config::Shard& shard : content.shards) {
    shards[config::shard_name(shard)] = config::serialize(shard);
  }
  return seen.shards == shards && seen.files == content.files;
}

// As somebody with an editor would: other bytes, or (null) no file.
inline void damage(FileSystem& files, const std::string& path, const char* bytes) {
  EXPECT_TRUE(files.remove_file(path));
  if (bytes == nullptr) return;
  EXPECT_TRUE(files.write_file(path, bytes));
}

// Answers load() from a queue, and accepts when it is empty.
class ScriptedProxy final : public ProxyControl {
 public:
  using Kind = LoadResult::Kind;

  void reject(std::vector<config::Rejection> rejections) {
    LoadResult result;
    result.kind = Kind::Answered;
    result.answer.rejected = std::move(rejections);
    script.push_back(std::move(result));
  }
  void be(Kind kind) {
    LoadResult result;
    result.kind = kind;
    result.error = {Reason::Io, "cut"};
    script.push_back(std::move(result));
  }

  LoadResult load(std::uint64_t generation) override {
    asked.push_back(generation);
    if (script.empty()) {
      LoadResult result;
      result.kind = Kind::Answered;
      result.answer.generation = generation;
      return result;
    }
    LoadResult result = script.front();
    script.pop_front();
    return result;
  }
  Result<config::StateAnswer> state() override { return config::StateAnswer{}; }

  std::deque<LoadResult> script;
  std::vector<std::uint64_t> asked;
};

}  // namespace handfast::publish::testing
