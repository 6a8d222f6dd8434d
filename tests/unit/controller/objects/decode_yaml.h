#pragma once
// Decodes manifests written as YAML, so that tests read like manifests.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/source/yaml_reader.h"

namespace handfast::objects {

// `file`: empty as from an API server.
inline Decoded decode_yaml(std::string_view text, const std::string& file = "test.yaml") {
  Decoded all;
  source::read_documents(text, [&](Result<Value> document, int line) {
    if (!document) {
      all.problems.push_back({{}, {"test.yaml", line}, {}, document.error()});
      return;
    }
    Decoded one = decode(*document, file);
    for (auto& object : one.objects) all.objects.push_back(std::move(object));
    for (auto& problem : one.problems) all.problems.push_back(std::move(problem));
    for (auto& kind : one.skipped) all.skipped.push_back(std::move(kind));
  });
  return all;
}

// What is wrong, as "field: detail"; empty if nothing is.
inline std::string problem_of(std::string_view text) {
  const Decoded decoded = decode_yaml(text);
  if (decoded.problems.empty()) return {};
  return decoded.problems[0].field + ": " + decoded.problems[0].error.detail;
}

// The only object; null pointer if there is another number of them, or another kind.
template <class T>
const T* only(const Decoded& decoded) {
  if (decoded.objects.size() != 1) return nullptr;
  return std::get_if<T>(&decoded.objects[0]);
}

}  // namespace handfast::objects
