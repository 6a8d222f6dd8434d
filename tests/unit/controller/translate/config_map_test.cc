#include "controller/translate/config_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

using config::TlsVersion;

class ConfigMapTest : public ::testing::Test {
 protected:
  ConfigMapTest() { options_.config_map = NamespacedName{"ingress", "config"}; }

  void set(const std::map<std::string, std::string>& data) {
    objects::ConfigMap map;
    map.meta.ns = "ingress";
    map.meta.name = "config";
    for (const auto& [key, value] : data) map.data[key].bytes = value;
    state_.apply(map);
  }

  // As the controller does: what an acknowledged output offers is the last good of the next.
  config::Front run() {
    output_ = translate(state_, last_good_, options_, kNow);
    last_good_ = output_.items;
    const auto* front = find_shard_as<config::Front>(output_, "front/");
    return front == nullptr ? config::Front{} : *front;
  }

  std::vector<std::string> errors() const {
    std::vector<std::string> fields;
    for (const Finding& finding : output_.report) {
      if (finding.severity == Severity::Error) fields.push_back(finding.field);
    }
    return fields;
  }

  Options options_;
  state::ClusterState state_;
  LastGood last_good_;
  Output output_;
};

TEST_F(ConfigMapTest, SaysWhatClientsAreOffered) {
  set({{"ssl-protocols", " TLSv1.3 "},
       {"ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384"},
       {"ssl-ecdh-curve", "X25519"},
       {"use-http2", "false"},
       {"ssl-session-tickets", "false"}});

  const config::Front front = run();

  EXPECT_EQ(front.versions, std::vector<TlsVersion>{TlsVersion::Tls13});
  EXPECT_EQ(front.ciphers, "ECDHE-RSA-AES256-GCM-SHA384");
  EXPECT_EQ(front.groups, "X25519");
  EXPECT_FALSE(front.http2);
  EXPECT_FALSE(front.session_tickets);
  EXPECT_TRUE(output_.report.empty()) << report_text(output_);
}

TEST_F(ConfigMapTest, SaysHowLongClientsKeepToHttps) {
  set({{"hsts-max-age", "86400"}, {"hsts-include-subdomains", "false"}, {"hsts-preload", "true"}});
  config::Front front = run();
  EXPECT_TRUE(front.hsts);
  EXPECT_EQ(front.hsts_max_age, 86'400U);
  EXPECT_FALSE(front.hsts_include_subdomains);
  EXPECT_TRUE(front.hsts_preload);

  set({{"hsts", "off"}, {"hsts-max-age", "1y"}, {"hsts-preload", "false"}});
  front = run();
  EXPECT_TRUE(front.hsts);
  EXPECT_EQ(front.hsts_max_age, 86'400U);
  EXPECT_TRUE(front.hsts_include_subdomains);
  EXPECT_FALSE(front.hsts_preload);
  EXPECT_EQ(errors(), (std::vector<std::string>{"data[hsts-max-age]", "data[hsts]"}));

  set({{"hsts", "false"}});
  EXPECT_FALSE(run().hsts);
}

TEST_F(ConfigMapTest, MakesNoShardWhereItChangesNothing) {
  set({{"hsts", "true"}, {"hsts-max-age", "31536000"}});
  EXPECT_EQ(run(), config::Front{});
  set({{"ssl-protocols", "TLSv1.2 TLSv1.3"}, {"use-http2", "true"}, {"ssl-ecdh-curve", "auto"}});

  EXPECT_EQ(run(), config::Front{});
  EXPECT_TRUE(output_.shards.empty());
}

TEST_F(ConfigMapTest, NeverOffersTlsBelow12) {
  set({{"ssl-protocols", "TLSv1.1 TLSv1.2"}});

  EXPECT_EQ(run(), config::Front{});
  EXPECT_EQ(errors(), std::vector<std::string>{"data[ssl-protocols]"});
}

TEST_F(ConfigMapTest, ABadValueKeepsTheLastGoodOneOfThatKeyAlone) {
  set({{"ssl-protocols", "TLSv1.3"}, {"ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384"}});
  run();
  set({{"ssl-protocols", "TLSv1.3 TLSv1.0"}, {"ssl-ciphers", "ECDHE-RSA-AES128-GCM-SHA256"}});
  run();
  const config::Front front = run();  // not only once

  EXPECT_EQ(front.versions, std::vector<TlsVersion>{TlsVersion::Tls13});
  EXPECT_EQ(front.ciphers, "ECDHE-RSA-AES128-GCM-SHA256");
}

TEST_F(ConfigMapTest, WhatIsGoneTakesEffectAtOnce) {
  set({{"ssl-protocols", "TLSv1.3"}, {"use-http2", "false"}});
  run();
  set({{"use-http2", "false"}});
  EXPECT_EQ(run().versions.size(), 2U);

  state_.remove({"ConfigMap", "ingress", "config"});

  EXPECT_EQ(run(), config::Front{});
  EXPECT_EQ(output_.report.size(), 1U);
}

TEST_F(ConfigMapTest, TellsRestrictionsThatItDoesNotEnforce) {
  set({{"whitelist-source-range", "10.0.0.0/8"},
       {"hide-headers", "X-A"},
       {"use-proxy-protocol", "0"},
       {"enable-modsecurity", "false"},
       {"ssl-protocls", "TLSv1.3"},
       {"worker-processes", "4"}});
  run();

  EXPECT_EQ(errors(), (std::vector<std::string>{"data[hide-headers]", "data[ssl-protocls]",
                                                "data[whitelist-source-range]"}));
  EXPECT_EQ(output_.report.size(), 4U) << report_text(output_);
}

class RestrictionTest : public ConfigMapTest {
 protected:
  RestrictionTest() {
    for (const char* text : {R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: handfast}
spec: {controller: handfast.dev/ingress-controller}
)",
                             R"(
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 80}]}
)"}) {
      apply_yaml(state_, text);
    }
    put("plain", "");
  }
  void put(const std::string& name, const std::string& annotation) {
    apply_yaml(state_, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: " +
                           name + "\n  namespace: shop\n  annotations: {" + annotation +
                           "}\nspec:\n  ingressClassName: handfast\n  rules:\n  - host: " + name +
                           ".example\n    http: {paths: [{path: /, pathType: Prefix, "
                           "backend: {service: {name: api, port: {number: 80}}}}]}\n");
  }
  // "served", or why not.
  std::string answer(const std::string& name) {
    run();
    const auto* host = find_shard_as<config::VirtualHost>(output_, "host/" + name + ".example");
    if (host == nullptr || host->routes.size() != 1) return "none";
    const auto& refused = host->routes[0].refused;
    return refused ? refused->detail : "served";
  }
};

TEST_F(RestrictionTest, OfAllHostsThatIsNotImplementedRefusesThemAll) {
  set({{"hide-headers", "X-A"}, {"enable-modsecurity", "false"}, {"block-cidrs", " "}});
  EXPECT_EQ(answer("plain"), "served");

  for (const char* key : {"whitelist-source-range", "denylist-source-range", "block-cidrs",
                          "block-user-agents", "block-referers"}) {
    set({{key, "10.0.0.0/8"}});
    EXPECT_EQ(
        answer("plain").find(std::string("ConfigMap ingress/config: data[") + key + "]: It is"), 0U)
        << key;
    EXPECT_EQ(errors(), std::vector<std::string>{std::string("data[") + key + "]"});
  }
  set({});
  EXPECT_EQ(answer("plain"), "served");
}

// What is wrong about the global auth server: who would ask it isn't served, others are.
TEST_F(RestrictionTest, OfAskingAServerIsNeverLeftOutForAWrongValue) {
  put("asks", "nginx.ingress.kubernetes.io/auth-url: \"http://a.auth.svc\"");
  put("open", "nginx.ingress.kubernetes.io/enable-global-auth: \"false\"");
  const std::map<std::string, std::vector<std::string>> wrong{
      {"url", {"a.auth.svc", "https://$host/", "ftp://a.auth.svc", "https://127.0.0.1/"}},
      {"method", {"get", "TRACE"}},
      {"signin", {"/start", "https://$http_x/"}},
      {"signin-redirect-param", {"a b"}},
      {"response-headers", {"X-Forwarded-For", "a b"}},
      {"request-redirect", {"$body"}},
      {"cache-key", {"$body"}},
      {"cache-duration", {"5y"}},
      {"always-set-cookie", {"yes"}},
      {"snippet", {"proxy_set_header X-A b;"}},
      {"cach-key", {"$cookie_a"}}};
  for (const auto& [name, values] : wrong) {
    const std::string key = "global-auth-" + name;
    for (const std::string& value : values) {
      std::map<std::string, std::string> data{{"global-auth-url", "http://a.auth.svc"}};
      data[key] = value;
      set(data);
      SCOPED_TRACE(key + ": " + value);

      EXPECT_EQ(answer("plain").find("ConfigMap ingress/config: data[" + key + ']'), 0U);
      EXPECT_EQ(answer("asks"), "served");
      EXPECT_EQ(answer("open"), "served");
      EXPECT_EQ(std::ranges::count(errors(), "data[" + key + ']'), 1);
    }
  }
}

TEST_F(RestrictionTest, OfAskingAServerNeedsItsUrl) {
  set({{"global-auth-signin", "https://id.example/start"}});
  EXPECT_NE(answer("plain"), "served");
  EXPECT_EQ(errors(), std::vector<std::string>{"data[global-auth-signin]"});

  set({{"global-auth-url", " "}, {"global-auth-method", "POST"}});
  EXPECT_EQ(answer("plain"), "served");
  EXPECT_EQ(output_.report.size(), 3U) << report_text(output_);
}

TEST_F(RestrictionTest, OfAskingAServerIsNotLeftOutForAValueThatCannotBeDecoded) {
  objects::ConfigMap map;
  map.meta.ns = "ingress";
  map.meta.name = "config";
  map.data["global-auth-url"].problem = "is not a string: quote it";
  state_.apply(map);

  EXPECT_NE(answer("plain").find("data[global-auth-url]"), std::string::npos);
}

// What can't be verified is the TLS policy's to say: the proxy answers 503 when it would ask.
TEST_F(RestrictionTest, OfAskingAServerIsNotLeftOutWhereNothingVerifiesIt) {
  for (const char* ca : {"", "none", "ops/ca"}) {
    std::map<std::string, std::string> data{{"global-auth-url", "https://id.example/"}};
    if (*ca != '\0') {
      data[std::string_view(ca) == "none" ? "global-auth-upstream-ca"
                                          : "global-auth-proxy-ssl-secret"] = ca;
    }
    set(data);
    EXPECT_EQ(answer("plain"), "served");
    const auto& route =
        find_shard_as<config::VirtualHost>(output_, "host/plain.example")->routes.front();
    ASSERT_TRUE(route.auth);
    const auto* tls =
        find_shard_as<config::UpstreamTls>(output_, "tls/" + route.auth->upstream_tls);
    ASSERT_NE(tls, nullptr);
    EXPECT_TRUE(tls->refused) << ca;
  }
}

TEST_F(RestrictionTest, HoldsForTheOperatorsDefaultBackend) {
  options_.default_backend = NamespacedName{"shop", "api"};
  set({{"whitelist-source-range", "10.0.0.0/8"}});
  run();

  const auto* host = find_shard_as<config::VirtualHost>(output_, "host/");
  ASSERT_NE(host, nullptr);
  EXPECT_TRUE(host->routes.at(0).refused);
}

TEST_F(ConfigMapTest, AValueThatCannotBeDecodedIsBadAndNotAbsent) {
  set({{"ssl-protocols", "TLSv1.3"}});
  run();
  objects::ConfigMap map;
  map.meta.ns = "ingress";
  map.meta.name = "config";
  for (const char* key : {"ssl-protocols", "hide-headers", "log-format-upstream"}) {
    map.data[key].problem = "is not a string: quote it";
  }
  state_.apply(map);

  EXPECT_EQ(run().versions, std::vector<TlsVersion>{TlsVersion::Tls13});
  EXPECT_EQ(errors(), (std::vector<std::string>{"data[hide-headers]", "data[ssl-protocols]"}));
  EXPECT_EQ(output_.report.size(), 3U) << report_text(output_);
}

TEST_F(ConfigMapTest, ReadsTimesOfStreamsWithOneUnit) {
  const auto timeout_of = [this](const std::string& value) {
    set({{"proxy-stream-timeout", value}});
    Report report;
    state::NoBook book;
    const Settings settings = read_config_map({state_, book}, options_, {}, report);
    return report.empty() ? settings.options.streams.idle_timeout_ms : 0;
  };

  EXPECT_EQ(timeout_of("90"), 90'000U);
  EXPECT_EQ(timeout_of("90s"), 90'000U);
  EXPECT_EQ(timeout_of("2m"), 120'000U);
  EXPECT_EQ(timeout_of("1h"), 3'600'000U);
  for (const char* bad : {"10ms", "1hs", "1hm", "s", "m", "1d", "-1s", "0"}) {
    EXPECT_EQ(timeout_of(bad), 0U) << bad;
  }
}

TEST_F(ConfigMapTest, IsNotReadWithoutTheFlag) {
  options_.config_map.reset();
  set({{"ssl-protocols", "TLSv1.3"}, {"whitelist-source-range", "10.0.0.0/8"}});

  EXPECT_EQ(run(), config::Front{});
  EXPECT_TRUE(output_.report.empty());
}

TEST_F(ConfigMapTest, StandsBeforeTheFlagsAndFallsBackToThem) {
  Options flags = options_;
  flags.traffic.read_timeout_ms = 7'000;
  set({{"proxy-body-size", "8m"},
       {"proxy-read-timeout", "soon"},
       {"proxy-next-upstream", "error http_503"},
       {"proxy-next-upstream-tries", "2"},
       {"ssl-redirect", "false"},
       {"force-ssl-redirect", "true"}});
  Report report;

  state::NoBook book;
  const Settings settings = read_config_map(state::Reader{state_, book}, flags, {}, report);

  EXPECT_EQ(settings.options.traffic.max_body_bytes, 8U << 20U);
  EXPECT_EQ(settings.options.traffic.read_timeout_ms, 7'000U);
  EXPECT_EQ(settings.options.traffic.retry.statuses, std::vector<std::uint16_t>{503});
  EXPECT_EQ(settings.options.traffic.retry.tries, 2U);
  EXPECT_FALSE(settings.options.ssl_redirect);
  EXPECT_TRUE(settings.options.force_ssl_redirect);
  ASSERT_EQ(report.size(), 1U);
  EXPECT_EQ(report.front().field, "data[proxy-read-timeout]");
}

}  // namespace
}  // namespace handfast::translate::testing
