#pragma once
// A Reconciler over a file system in memory and a proxy that does as it is told, fed with YAML.

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/reconcile/reconciler.h"
#include "controller/source/yaml_reader.h"
#include "tests/support/times.h"
#include "tests/unit/controller/publish/faulty_file_system.h"
#include "tests/unit/controller/publish/samples.h"
#include "tests/unit/controller/translate/support.h"

namespace handfast::reconcile::testing {

// A ScriptedProxy that can be watched while it is asked.
class Proxy final : public publish::ProxyControl {
 public:
  LoadResult load(std::uint64_t generation) override {
    if (on_load) on_load(generation);
    return script.load(generation);
  }
  Result<config::StateAnswer> state() override { return script.state(); }

  publish::testing::ScriptedProxy script;
  std::function<void(std::uint64_t generation)> on_load;
};

// Whoever is asked answers when the test wants it.
class RecordingAsker final : public preflight::Asker {
 public:
  void ask(preflight::Question question) override { questions.push_back(std::move(question)); }

  std::vector<preflight::Question> questions;
};

// The objects of a YAML text as a source delivers them.
inline source::Batch batch_of(std::string_view yaml) {
  source::Batch batch;
  source::read_documents(yaml, [&batch](Result<objects::Value> document, int line) {
    ASSERT_TRUE(document.has_value()) << "line " << line << ": " << document.error();
    objects::Decoded decoded = objects::decode(*document, "input.yaml");
    for (const auto& problem : decoded.problems) ADD_FAILURE() << problem.field << problem.error;
    for (objects::Object& object : decoded.objects) {
      objects::ObjectKey key = objects::key(object);
      batch.events.push_back({std::move(key), std::move(object)});
    }
  });
  return batch;
}

inline source::Batch batch_without(const objects::ObjectKey& key) {
  source::Batch batch;
  batch.events.push_back({key, std::nullopt});
  return batch;
}

// A Service and an Ingress called `app` for the host <app>.example over TLS, with the items of the
// Secret "<app>-tls".
inline std::string app_yaml(const std::string& app, const std::string& annotations = "") {
  return R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: )" +
         app + R"(
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/)" +
         app + "-tls\n" + annotations + R"(
spec:
  ingressClassName: handfast
  rules:
  - host: )" +
         app + R"(.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: )" +
         app + R"(, port: {number: 443}}}}
---
apiVersion: v1
kind: Service
metadata: {name: )" +
         app + R"(, namespace: shop}
spec: {ports: [{port: 443}]}
---
)";
}

// `keys`: "  key: value" lines; an empty list is a Secret without any.
inline std::string secret_yaml(const std::string& app, const std::string& keys) {
  return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + app +
         "-tls, namespace: shop}\nstringData:\n" + keys + "---\n";
}

inline std::string pair_keys(const std::string& client) {
  return "  tls.crt: ${CRT:" + client + "}\n  tls.key: ${KEY:" + client + "}\n";
}
inline std::string ca_key(const std::string& authority) {
  return "  ca.crt: ${CA:" + authority + "}\n";
}

class ReconcileFixture : public ::testing::Test {
 protected:
  ReconcileFixture() {
    recovered_ = writer_.recover(nullptr);
    EXPECT_TRUE(recovered_);
  }

  void give(const std::string& yaml) { reconciler_.take(batch_of(material_.fill(yaml))); }
  void give_app(const std::string& app, const std::string& client, const std::string& authority) {
    give(app_yaml(app) + secret_yaml(app, pair_keys(client) + ca_key(authority)));
  }
  void advance(std::chrono::milliseconds by) { clock_.advance(by); }
  // How long from now until there is something to do.
  [[nodiscard]] std::chrono::milliseconds wait() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(reconciler_.due().value() -
                                                                 clock_.now());
  }

  [[nodiscard]] std::uint64_t current() {
    return publish::testing::read_current(files_).value_or(publish::testing::Seen{}).generation;
  }
  [[nodiscard]] config::UpstreamTls served_policy(const std::string& app) {
    const auto seen = publish::testing::read_current(files_);
    EXPECT_TRUE(seen) << seen.error();
    const std::string name = "tls/shop/" + app + "/" + app + ":443";
    return std::get<config::UpstreamTls>(config::parse_shard(seen->shards.at(name)).value());
  }
  [[nodiscard]] const std::vector<std::uint64_t>& asked() const { return proxy_.script.asked; }

  static std::vector<config::Rejection> rejection(const std::string& app, const std::string& field,
                                                  const std::string& file = "") {
    return {{"tls/shop/" + app + "/" + app + ":443", field, file, Reason::KeyMismatch,
             "the key is another's"}};
  }
  // Of the generation as a whole, so that nothing can stand in for it.
  void reject_whole() {
    proxy_.script.reject({{"", "", "", Reason::Io, "index.yaml can't be read"}});
  }

  translate::testing::MaterialSource material_;
  publish::testing::FaultyFileSystem files_;
  publish::GenerationWriter writer_{files_};
  Status recovered_;
  Proxy proxy_;
  handfast::testing::FakeClock clock_;
  publish::Publisher publisher_{writer_, proxy_, clock_};
  metrics::Metrics metrics_;
  RecordingAsker asker_;
  Reconciler reconciler_{
      {writer_, publisher_, metrics_, clock_, nullptr, nullptr, nullptr, &asker_}, {}, {}};
};

}  // namespace handfast::reconcile::testing
