// Every folder of tests/fixtures/translate is a case: input.yaml, options.yaml if it needs any, and
// what must come out, expected.yaml and report.txt. UPDATE_FIXTURES=1 rewrites the latter two.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "controller/source/yaml_reader.h"
#include "controller/translate/traffic_values.h"
#include "proxy/config/text.h"
#include "tests/unit/controller/translate/support.h"

namespace handfast::translate::testing {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> list_cases() {
  std::vector<std::string> cases;
  for (const auto& entry : fs::directory_iterator{HANDFAST_FIXTURES}) {
    if (entry.is_directory()) cases.push_back(entry.path().filename().string());
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

std::string read_file(const fs::path& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result.has_value()) << result.error();
  return result.has_value() ? *std::move(result) : T{};
}

std::vector<std::string> texts(const objects::Value& value) {
  std::vector<std::string> out;
  for (const objects::Value& each : value.list) out.push_back(each.scalar);
  return out;
}

// The flags of the controller, without their dashes.
void set_option(Options& options, const std::string& name, const objects::Value& value) {
  const std::string& text = value.scalar;
  if (name == "ingress-class") {
    options.ingress_class = text;
  } else if (name == "watch-ingress-without-class") {
    options.watch_ingress_without_class = text == "true";
  } else if (name == "ssl-redirect") {
    options.ssl_redirect = text == "true";
  } else if (name == "proxy-body-size") {
    options.traffic.max_body_bytes = must(parse_size(text));
  } else if (name == "proxy-read-timeout") {
    options.traffic.read_timeout_ms = must(parse_seconds(text, 1));
  } else if (name == "proxy-next-upstream") {
    EXPECT_TRUE(parse_next_upstream(text, options.traffic.retry).has_value());
  } else if (name == "cluster-domain") {
    options.cluster_domain = text;
  } else if (name == "default-upstream-ca") {
    options.default_upstream_ca = must(parse_default_ca(text));
  } else if (name == "default-ssl-certificate") {
    options.default_certificate = must(parse_namespaced_name(text));
  } else if (name == "default-backend-service") {
    options.default_backend = must(parse_namespaced_name(text));
  } else if (name == "configmap") {
    options.config_map = must(parse_namespaced_name(text));
  } else if (name == "tcp-services-configmap") {
    options.tcp_services = must(parse_namespaced_name(text));
  } else if (name == "reserved-tcp-ports") {
    options.reserved_tcp_ports = {8080, 8443};
  } else if (name == "enable-ssl-passthrough") {
    options.enable_ssl_passthrough = text == "true";
  } else if (name == "allow-insecure-upstream") {
    options.allow_insecure_upstream = texts(value);
  } else if (name == "allow-trust-drain") {
    options.allow_trust_drain = texts(value);
  } else if (name == "upstream-verification-audit") {
    for (const std::string& each : texts(value)) {
      options.verification_audits.push_back(must(parse_verification_audit(each)));
    }
  } else if (name == "minimum-upstream-tls") {
    for (const std::string& each : texts(value)) {
      options.minimum_upstream_tls.push_back(must(parse_floor(each)));
    }
  } else {
    ADD_FAILURE() << "unknown option " << name;
  }
}

Options read_options(const fs::path& path) {
  Options options;
  source::read_documents(read_file(path), [&](Result<objects::Value> document, int) {
    for (const auto& [name, value] : must(std::move(document)).map) {
      set_option(options, name, value);
    }
  });
  return options;
}

// Material is made anew in every run: its hash in a path is replaced by what the item is.
std::string without_hashes(std::string text) {
  static constexpr const char* kPath = "(tls/[a-z0-9._-]+/[a-z0-9.:-]+)/[0-9a-f]{16}/";
  text = std::regex_replace(text, std::regex{std::string{kPath} + "tls\\."}, "$1/<pair>/tls.");
  text = std::regex_replace(text, std::regex{std::string{kPath} + "ca\\.crt"}, "$1/<ca>/ca.crt");
  return std::regex_replace(text, std::regex{std::string{kPath} + "ca\\.crl"}, "$1/<crl>/ca.crl");
}

std::string expected_text(const Output& output) {
  std::string text;
  for (const config::Shard& shard : output.shards) {
    text += "--- # " + config::shard_name(shard) + '\n' + config::serialize(shard);
  }
  if (output.default_certificate) {
    text += "--- # default certificate\n" + output.default_certificate->certificate + '\n';
  }
  text = without_hashes(text);
  std::set<std::string> files;
  for (const auto& [path, bytes] : output.files) files.insert(without_hashes(path));
  if (!files.empty()) text += "--- # files\n";
  for (const std::string& path : files) text += "- " + path + '\n';
  return text;
}

void compare_or_update(const fs::path& path, const std::string& text) {
  if (std::getenv("UPDATE_FIXTURES") != nullptr) {
    std::ofstream{path} << text;
    return;
  }
  EXPECT_EQ(text, read_file(path)) << "in " << path;
}

class TranslateFixture : public ::testing::TestWithParam<std::string> {};

TEST_P(TranslateFixture, GivesTheExpectedShardsAndReport) {
  const fs::path folder = fs::path{HANDFAST_FIXTURES} / GetParam();
  const Options options = read_options(folder / "options.yaml");
  MaterialSource material;
  state::ClusterState state;
  apply_yaml(state, material.fill(read_file(folder / "input.yaml")));

  const Output output = translate(state, {}, options, kNow);

  for (const config::Shard& shard : output.shards) {
    const Status valid = config::validate(shard);
    EXPECT_TRUE(valid.has_value()) << config::shard_name(shard) << ": " << valid.error();
  }
  for (const Finding& finding : output.report) {
    EXPECT_FALSE(finding.remedy.empty()) << to_text(finding);
  }
  compare_or_update(folder / "expected.yaml", expected_text(output));
  compare_or_update(folder / "report.txt", report_text(output));
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, TranslateFixture, ::testing::ValuesIn(list_cases()), test_name);

}  // namespace
}  // namespace handfast::translate::testing
