// The Translator against translate(): after any row of changes what it told is what translating
// anew tells, byte for byte.

#include "controller/translate/translator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/source/yaml_reader.h"
#include "controller/translate/translate.h"
#include "proxy/config/text.h"
#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

namespace fs = std::filesystem;

std::vector<objects::Object> read_objects(std::string_view yaml) {
  std::vector<objects::Object> objects;
  source::read_documents(yaml, [&objects](Result<objects::Value> document, int) {
    if (!document) return;
    objects::Decoded decoded = objects::decode(*document, "input.yaml");
    for (objects::Object& object : decoded.objects) objects.push_back(std::move(object));
  });
  return objects;
}

// What the outside knows after a row of changes.
class Told {
 public:
  void take(Change change) {
    if (change.is_whole) shards_.clear();
    expect_files(change);
    for (auto& [name, shard] : change.shards) {
      if (shard) {
        EXPECT_EQ(config::shard_name(*shard), name);
        shards_.insert_or_assign(name, *std::move(shard));
      } else {
        EXPECT_FALSE(change.is_whole) << name;
        shards_.erase(name);
      }
    }
    default_certificate_ = std::move(change.default_certificate);
    items_.front = std::move(change.front);
    for (auto& [key, item] : change.items) {
      if (item) {
        items_.insert_or_assign(key, *std::move(item));
      } else {
        items_.erase(key);
      }
    }
    for (const Finding& finding : change.findings_over) {
      const auto found = std::ranges::find(report_, finding);
      ASSERT_NE(found, report_.end()) << "over, and never told: " << to_text(finding);
      report_.erase(found);
    }
    report_.insert(report_.end(), change.findings_new.begin(), change.findings_new.end());
    for (const auto& key : change.references.gone) EXPECT_EQ(references_.erase(key), 1U);
    for (const auto& key : change.references.added) EXPECT_TRUE(references_.insert(key).second);
    for (auto& [path, bytes] : change.files) files_.insert_or_assign(path, std::move(bytes));
  }

  void expect_is(const Output& output) {
    std::string shards;
    for (const auto& [name, shard] : shards_) shards += config::serialize(shard);
    std::string expected;
    for (const config::Shard& shard : output.shards) expected += config::serialize(shard);
    EXPECT_EQ(shards, expected);
    EXPECT_EQ(default_certificate_, output.default_certificate);
    EXPECT_EQ(items_, output.items);
    EXPECT_EQ(items_.front, output.items.front);
    sort(report_);
    EXPECT_EQ(text_of(report_), text_of(output.report));
    EXPECT_EQ(report_, output.report);
    EXPECT_EQ(references_, output.references);
    for (const auto& [path, bytes] : output.files) {
      const auto found = files_.find(path);
      ASSERT_NE(found, files_.end()) << path;
      EXPECT_EQ(found->second, bytes) << path;
    }
  }

  [[nodiscard]] const LastGood& items() const { return items_; }

 private:
  // Nobody else knows the bytes, and what no generation named is not on disk any more.
  void expect_files(const Change& change) const {
    const auto is_kept = [](const auto& items, const std::string& directory) {
      return std::ranges::any_of(items, [&](const auto& each) {
        const std::optional<GoodItem> item{each.second};
        return item && item->bad_since != 0 &&
               (item->directory == directory ||
                item->passphrases.text().starts_with(directory + '/'));
      });
    };
    for (const auto& [name, shard] : change.shards) {
      const auto before = shards_.find(name);
      if (!shard || (before != shards_.end() && before->second == *shard)) continue;
      const std::string text = config::serialize(*shard);
      for (std::size_t at = text.find("\"tls/"); at != std::string::npos;
           at = text.find("\"tls/", at + 1)) {
        const std::string path = text.substr(at + 1, text.find('"', at + 1) - at - 1);
        const std::string directory = path.substr(0, path.rfind('/'));
        EXPECT_TRUE(change.files.contains(path) || is_kept(change.items, directory) ||
                    is_kept(items_, directory))
            << name << " names " << path;
      }
    }
  }

  static std::string text_of(const Report& report) {
    std::string text;
    for (const Finding& finding : report) text += to_text(finding) + '\n';
    return text;
  }

  std::map<std::string, config::Shard> shards_;
  std::optional<config::KeyPairRef> default_certificate_;
  LastGood items_;
  Report report_;
  std::set<objects::ObjectKey> references_;
  FileSet files_;
};

Options options_of(unsigned seed) {
  Options options;
  if (seed % 2 == 1) {
    options.config_map = NamespacedName{"ops", "settings"};
    options.default_backend = NamespacedName{"shop", "api"};
    options.default_certificate = NamespacedName{"infra", "fallback"};
    options.session_tickets = NamespacedName{"shop", "tickets"};
    options.tcp_services = NamespacedName{"ops", "tcp"};
    options.enable_ssl_passthrough = true;
    options.default_upstream_ca = *parse_default_ca("configmap:infra/roots");
  }
  if (seed % 3 == 1) {
    options.minimum_upstream_tls = {*parse_floor("bank=mutual,min-version=1.3"),
                                    *parse_floor("floor=server")};
    options.verification_audits = {*parse_verification_audit("shop/*@2026-12-31")};
    options.allow_insecure_upstream = {"shop/*"};
  }
  return options;
}

class TranslatorTest : public ::testing::Test {
 protected:
  void add_objects(std::string_view yaml) {
    for (objects::Object& object : read_objects(material_.fill(yaml))) {
      pool_.push_back(std::move(object));
    }
  }

  // All objects of the fixtures, several forms of one object among them.
  void add_fixtures() {
    std::vector<fs::path> cases;
    for (const auto& entry : fs::directory_iterator{HANDFAST_FIXTURES}) {
      if (entry.is_directory()) cases.push_back(entry.path());
    }
    std::ranges::sort(cases);
    for (const fs::path& path : cases) {
      std::ifstream file{path / "input.yaml"};
      add_objects(std::string{std::istreambuf_iterator<char>{file}, {}});
    }
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }

  const objects::Object& any_object() { return pool_[below(pool_.size())]; }

  // Some other form of an object: what people do to them.
  objects::Object other_form(objects::Object object) {
    if (auto* secret = std::get_if<objects::Secret>(&object)) {
      change_data(secret->data);
    } else if (auto* map = std::get_if<objects::ConfigMap>(&object)) {
      change_data(map->data);
    } else if (auto* ingress = std::get_if<objects::Ingress>(&object)) {
      change_ingress(*ingress);
    } else if (auto* slice = std::get_if<objects::EndpointSlice>(&object)) {
      if (!slice->endpoints.empty()) slice->endpoints.front().ready = below(2) == 0;
      if (below(4) == 0) slice->endpoints.clear();
    } else if (auto* service = std::get_if<objects::Service>(&object)) {
      if (below(2) == 0) service->ports.clear();
    }
    if (below(8) == 0) const_cast<objects::Meta&>(objects::meta(object)).origin.line += 1;
    return object;
  }

  void change_data(objects::DataMap& data) {
    if (data.empty()) return;
    auto& value = std::next(data.begin(), static_cast<std::ptrdiff_t>(below(data.size())))->second;
    switch (below(4)) {
      case 0:
        value.bytes = "torn";
        break;
      case 1:
        data.erase(data.begin());
        break;
      case 2:
        value.bytes += '\n';
        break;
      default:
        // Another's: a pair that doesn't match, a CA in the list's place.
        if (const auto* other = std::get_if<objects::Secret>(&any_object());
            other != nullptr && !other->data.empty()) {
          value = other->data.begin()->second;
        }
    }
  }

  void change_ingress(objects::Ingress& ingress) {
    const auto* other = std::get_if<objects::Ingress>(&any_object());
    switch (below(6)) {
      case 0:
        ingress.meta.creation_timestamp = below(2) == 0 ? "2020-01-01T00:00:00Z" : "";
        break;
      case 1:
        if (other != nullptr) ingress.rules = other->rules;
        break;
      case 2:
        if (other != nullptr) ingress.default_backend = other->default_backend;
        break;
      case 3:
        if (other != nullptr) ingress.meta.annotations = other->meta.annotations;
        break;
      case 4:
        if (other != nullptr) ingress.tls = other->tls;
        break;
      default:
        ingress.meta.annotations["nginx.ingress.kubernetes.io/ssl-passthrough"] =
            below(2) == 0 ? "true" : "false";
    }
  }

  [[nodiscard]] std::set<objects::ObjectKey> all_keys() const {
    std::set<objects::ObjectKey> keys;
    for (std::size_t kind = 0; kind < std::variant_size_v<objects::Object>; ++kind) {
      keys.merge(state_.keys_of(objects::kind_name(kind)));
    }
    return keys;
  }

  void change_something() {
    switch (below(5)) {
      case 0:
        if (const auto keys = all_keys(); !keys.empty()) {
          state_.remove(*std::next(keys.begin(), static_cast<std::ptrdiff_t>(below(keys.size()))));
        }
        break;
      case 1:
      case 2:
        state_.apply(other_form(any_object()));
        break;
      default:
        state_.apply(any_object());
    }
  }

  // As the controller does: what an acknowledged generation used is the last good from now on.
  void acknowledge() {
    const LastGood& items = told_.items();
    for (const auto& [key, item] : items) {
      const auto old = last_good_.find(key);
      if (old == last_good_.end() || old->second != item) touched_.insert(last_good_topic(key));
    }
    for (const auto& [key, item] : last_good_) {
      if (!items.contains(key)) touched_.insert(last_good_topic(key));
    }
    if (last_good_.front != items.front) touched_.insert(last_good_front_topic());
    last_good_ = items;
  }

  void update(Translator& translator, const Options& options, bool whole = false) {
    touched_.merge(state_.take_touched());
    told_.take(translator.update(touched_, now_, whole));
    touched_.clear();
    told_.expect_is(translate(state_, last_good_, options, now_));
  }

  MaterialSource material_;
  std::vector<objects::Object> pool_;
  std::minstd_rand random_;
  state::ClusterState state_;
  LastGood last_good_;
  std::set<objects::ObjectKey> touched_;
  std::int64_t now_ = kNow;
  Told told_;
};

class TranslatorProperty : public TranslatorTest, public ::testing::WithParamInterface<unsigned> {};

TEST_P(TranslatorProperty, TellsWhatTranslatingAnewTells) {
  add_fixtures();
  add_objects(R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: ops}
data: {ssl-redirect: "false", ssl-protocols: TLSv1.3}
---
apiVersion: v1
kind: Secret
metadata: {name: tickets, namespace: shop}
data: {ticket.key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3}
)");
  random_.seed(GetParam() + 1);
  const Options options = options_of(GetParam());
  Translator translator{state_, last_good_, options, now_};
  for (std::size_t i = below(400); i > 0; --i) change_something();

  for (int round = 0; round < 60 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    if (below(3) == 0) acknowledge();
    if (below(6) == 0) now_ += static_cast<std::int64_t>(below(200)) * 24 * 3600 - 40 * 24 * 3600;
    for (std::size_t i = below(6); i > 0; --i) change_something();
    update(translator, options, /*whole=*/below(20) == 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TranslatorProperty, ::testing::Range(0U, 12U));

constexpr std::string_view kShop = R"(
apiVersion: v1
kind: Secret
metadata: {name: material, namespace: shop}
stringData:
  tls.crt: ${CRT:client.example}
  tls.key: ${KEY:client.example}
  ca.crt: ${CA:backends}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.1]}]
ports: [{port: 8443}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: one
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/material
spec:
  ingressClassName: handfast
  rules:
  - host: one.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: two, namespace: shop}
spec:
  ingressClassName: handfast
  rules:
  - host: two.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 443}}}}]}
)";

std::set<std::string> names(const Change& change) {
  std::set<std::string> names;
  for (const auto& [name, shard] : change.shards) names.insert(name);
  names.erase(config::shard_name(config::Front{}));
  return names;
}

TEST_F(TranslatorTest, AnEndpointTouchesItsServiceAlone) {
  apply_yaml(state_, material_.fill(kShop));
  Translator translator{state_, last_good_, {}, kNow};
  static_cast<void>(translator.update({}, kNow));
  static_cast<void>(state_.take_touched());
  apply_yaml(state_, R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.2]}]
ports: [{port: 8443}]
)");

  const Change change = translator.update(state_.take_touched(), kNow);

  EXPECT_EQ(names(change), (std::set<std::string>{"service/shop/api:443"}));
  EXPECT_TRUE(change.files.empty());
  EXPECT_TRUE(change.items.empty());
}

TEST_F(TranslatorTest, ASecretTouchesThoseWhoNameIt) {
  apply_yaml(state_, material_.fill(kShop));
  Translator translator{state_, last_good_, {}, kNow};
  static_cast<void>(translator.update({}, kNow));
  static_cast<void>(state_.take_touched());
  apply_yaml(state_, material_.fill(R"(
apiVersion: v1
kind: Secret
metadata: {name: material, namespace: shop}
stringData:
  tls.crt: ${CRT:other.example}
  tls.key: ${KEY:other.example}
  ca.crt: ${CA:backends}
)"));

  const Change change = translator.update(state_.take_touched(), kNow);

  EXPECT_EQ(names(change), (std::set<std::string>{"host/one.example", "tls/shop/one/api:443"}));
  EXPECT_EQ(change.items.size(), 1U);  // the pair; the CA is what it was
  EXPECT_FALSE(change.files.empty());
}

// What the loser of a conflict named was in no generation, so it isn't on disk.
TEST_F(TranslatorTest, BringsTheClientCaOfWhoDecidesOnceTheOtherIsGone) {
  const auto ingress = [](const std::string& name, const std::string& year,
                          const std::string& secret) {
    return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: " + name +
           "\n  namespace: shop\n  creationTimestamp: \"" + year + "-01-01T00:00:00Z\"\n" +
           (secret.empty() ? std::string{}
                           : "  annotations: {nginx.ingress.kubernetes.io/auth-tls-secret: shop/" +
                                 secret + "}\n") +
           "spec:\n  ingressClassName: handfast\n  rules:\n  - host: one.example\n    http: "
           "{paths: "
           "[{path: /" +
           name + ", pathType: Prefix, backend: {service: {name: api, port: {number: 443}}}}]}\n" +
           "---\n";
  };
  apply_yaml(state_, material_.fill(R"(
apiVersion: v1
kind: Secret
metadata: {name: first, namespace: shop}
stringData:
  ca.crt: ${CA:backends}
---
apiVersion: v1
kind: Secret
metadata: {name: second, namespace: shop}
stringData:
  ca.crt: ${CA:clients}
---
)") + ingress("head", "2020", "") +
                         ingress("winner", "2021", "first") + ingress("loser", "2022", "second"));
  Translator translator{state_, last_good_, {}, kNow};
  static_cast<void>(translator.update({}, kNow));
  static_cast<void>(state_.take_touched());
  state_.remove({"Ingress", "shop", "winner"});

  const Change change = translator.update(state_.take_touched(), kNow);

  const auto host = change.shards.find("host/one.example");
  ASSERT_TRUE(host != change.shards.end() && host->second);
  const auto& client = std::get<config::VirtualHost>(*host->second).client;
  ASSERT_TRUE(client);
  EXPECT_EQ(client->ca.front().source, "Secret/shop/second");
  EXPECT_TRUE(change.files.contains(client->ca.front().path));
}

TEST_F(TranslatorTest, WhatVerifiesTheGlobalAuthServerTouchesOneTlsPolicy) {
  const auto ca = [this](const std::string& name) {
    apply_yaml(state_, material_.fill("apiVersion: v1\nkind: Secret\nmetadata: {name: ca, "
                                      "namespace: ops}\nstringData:\n  ca.crt: ${CA:" +
                                      name + "}\n"));
  };
  const auto ask = [this](const std::string& url) {
    apply_yaml(state_,
               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: ops}\n"
               "data: {global-auth-proxy-ssl-secret: ops/ca, global-auth-url: \"" +
                   url + "\"}\n");
  };
  apply_yaml(state_, material_.fill(kShop));
  ask("https://id.example/a");
  ca("one");
  Options options;
  options.config_map = NamespacedName{"ops", "settings"};
  Translator translator{state_, last_good_, options, kNow};
  static_cast<void>(translator.update({}, kNow));
  static_cast<void>(state_.take_touched());

  ca("two");
  EXPECT_EQ(names(translator.update(state_.take_touched(), kNow)),
            (std::set<std::string>{"tls/ops/settings@global-auth/id.example:443"}));

  ask("https://id.example/b");
  const Change change = translator.update(state_.take_touched(), kNow);
  EXPECT_TRUE(names(change).contains("host/one.example"));
  EXPECT_TRUE(names(change).contains("host/two.example"));
  for (const auto& [name, shard] : change.shards) {
    if (!name.starts_with("host/")) continue;
    EXPECT_EQ(std::get<config::VirtualHost>(*shard).routes.front().auth->target, "/b");
  }
}

TEST_F(TranslatorTest, WhatNobodyAsksForTouchesNothing) {
  apply_yaml(state_, material_.fill(kShop));
  Translator translator{state_, last_good_, {}, kNow};
  static_cast<void>(translator.update({}, kNow));
  static_cast<void>(state_.take_touched());
  apply_yaml(state_, "apiVersion: v1\nkind: Secret\nmetadata: {name: nobodys, namespace: shop}\n");

  const Change change = translator.update(state_.take_touched(), kNow);

  EXPECT_TRUE(names(change).empty());
  EXPECT_TRUE(change.findings_new.empty());
  EXPECT_TRUE(change.references.added.empty());
}

}  // namespace
}  // namespace handfast::translate::testing
