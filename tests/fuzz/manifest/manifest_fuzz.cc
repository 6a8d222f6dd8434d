// Any bytes as a manifest file: every document is read and decoded, whatever becomes of it.

#include <string>
#include <string_view>
#include <variant>

#include "controller/objects/decode.h"
#include "controller/source/yaml_reader.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

bool is_name(const std::string& text) {
  return !text.empty() && text.find('/') == std::string::npos && text[0] != '.';
}

// Names become parts of shards' names, and keys of objects those of files.
template <class Policy>
void check_policy(const Policy& policy) {
  check(!policy.targets.empty(), "a policy without a target");
  for (const objects::PolicyTarget& target : policy.targets) {
    check(is_name(target.service), "a dangerous target");
  }
  if (policy.fault) {
    check(!policy.fault->error.detail.empty(), "a fault without a word");
    return;
  }
  const objects::PolicyValidation& validation = policy.validation;
  for (const auto* refs : {&validation.cas, &validation.revocation.crls}) {
    for (const objects::MaterialRef& ref : *refs) {
      check(is_name(ref.name), "a dangerous reference");
      check(ref.key.find('/') == std::string::npos, "a dangerous key");
    }
  }
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  source::read_documents(text, [](Result<objects::Value> document, int line) {
    check(line > 0, "a document without a line");
    if (!document) {
      check(!document.error().detail.empty(), "an error without a word");
      return;
    }
    const objects::Decoded decoded = objects::decode(*document, "fuzz.yaml");
    for (const objects::Object& object : decoded.objects) {
      const objects::ObjectKey key = objects::key(object);
      // Names become file names.
      check(!key.name.empty() && key.name.find('/') == std::string::npos, "a dangerous name");
      check(key.ns.find_first_of("/.") == std::string::npos, "a dangerous namespace");
      if (const auto* policy = std::get_if<objects::UpstreamTlsPolicy>(&object)) {
        check_policy(*policy);
      } else if (const auto* other = std::get_if<objects::BackendTlsPolicy>(&object)) {
        check_policy(*other);
      }
    }
    for (const auto& problem : decoded.problems) {
      check(!problem.error.detail.empty(), "a problem without a word");
    }
  });
}

}  // namespace handfast
