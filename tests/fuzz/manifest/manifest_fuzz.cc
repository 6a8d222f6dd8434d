// Any bytes as a manifest file: every document is read and decoded, whatever becomes of it.

#include <string_view>

#include "controller/objects/decode.h"
#include "controller/source/yaml_reader.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

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
    }
    for (const auto& problem : decoded.problems) {
      check(!problem.error.detail.empty(), "a problem without a word");
    }
  });
}

}  // namespace handfast
