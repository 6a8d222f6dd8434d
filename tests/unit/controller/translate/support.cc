#include "tests/unit/controller/translate/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/source/yaml_reader.h"

namespace handfast::translate::testing {
namespace {

using handfast::testing::CertificateOptions;
using handfast::testing::TestAuthority;
using handfast::testing::TestCertificate;

// On one line, so that placeholders move no line numbers.
std::string quote_yaml(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::vector<std::string> dns_sans(std::string_view names) {
  std::vector<std::string> sans;
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    sans.push_back("DNS:" + std::string{names.substr(0, comma)});
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return sans;
}

}  // namespace

std::string MaterialSource::fill(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t begin = text.find("${");
    if (begin == std::string_view::npos) break;
    const std::size_t end = text.find('}', begin);
    const std::string_view inside = text.substr(begin + 2, end - begin - 2);
    const std::size_t colon = inside.find(':');
    out.append(text.substr(0, begin));
    out.append(quote_yaml(make(inside.substr(0, colon), std::string{inside.substr(colon + 1)})));
    text.remove_prefix(end + 1);
  }
  return out.append(text);
}

std::string MaterialSource::make(std::string_view kind, const std::string& name) {
  if (kind == "CRT") return certificate(name, Form::Usual).cert_pem();
  if (kind == "KEY") return certificate(name, Form::Usual).key_pem();
  if (kind == "EXPIRED-CRT") return certificate(name, Form::Expired).cert_pem();
  if (kind == "EXPIRED-KEY") return certificate(name, Form::Expired).key_pem();
  if (kind == "SERVER-CRT") return certificate(name, Form::Server).cert_pem();
  if (kind == "SERVER-KEY") return certificate(name, Form::Server).key_pem();
  if (kind == "CA") return authority(name).cert_pem();
  if (kind == "CRL") return authority(name).crl_pem();
  ADD_FAILURE() << "no such placeholder: " << kind;
  return {};
}

const TestAuthority& MaterialSource::authority(const std::string& name) {
  return authorities_.try_emplace(name, name).first->second;
}

const TestCertificate& MaterialSource::certificate(const std::string& name, Form form) {
  const std::string key = std::to_string(static_cast<int>(form)) + ' ' + name;
  const auto known = certificates_.find(key);
  if (known != certificates_.end()) return known->second;
  CertificateOptions options;
  options.sans = dns_sans(name);
  if (form == Form::Expired) options.not_after = kNow - handfast::testing::kDay;
  if (form == Form::Server) options.extended_key_usage = "serverAuth";
  const std::string common_name = options.sans.front().substr(4);
  return certificates_.emplace(key, authority("issuer").issue(common_name, options)).first->second;
}

void apply_yaml(state::ClusterState& state, std::string_view yaml) {
  source::read_documents(yaml, [&state](Result<objects::Value> document, int line) {
    ASSERT_TRUE(document.has_value()) << "line " << line << ": " << document.error();
    objects::Decoded decoded = objects::decode(*document, "input.yaml");
    for (const auto& problem : decoded.problems) {
      ADD_FAILURE() << objects::to_string(problem.key) << ": " << problem.field << ": "
                    << problem.error;
    }
    for (objects::Object& object : decoded.objects) state.apply(std::move(object));
  });
}

const config::Shard* find_shard(const Output& output, std::string_view name) {
  const auto found =
      std::find_if(output.shards.begin(), output.shards.end(),
                   [name](const auto& each) { return config::shard_name(each) == name; });
  return found == output.shards.end() ? nullptr : &*found;
}

std::string report_text(const Output& output) {
  std::string text;
  for (const Finding& finding : output.report) text += to_text(finding) + '\n';
  return text;
}

}  // namespace handfast::translate::testing
