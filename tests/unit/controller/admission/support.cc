#include "tests/unit/controller/admission/support.h"

#include <gtest/gtest.h>

#include <utility>

#include "controller/objects/decode.h"
#include "controller/objects/fields.h"
#include "controller/source/yaml_reader.h"
#include "proxy/base/log.h"

namespace handfast::admission::testing {
namespace {

std::string json_text(std::string_view text) {
  std::string out = "\"";
  append_json_escaped(out, text);
  return out += '"';
}

std::string text_at(const objects::Value& value, std::string_view member) {
  const objects::Value* found = value.find(member);
  return found == nullptr ? std::string{} : found->scalar;
}

}  // namespace

std::vector<objects::Value> read_yaml(std::string_view yaml) {
  std::vector<objects::Value> out;
  source::read_documents(yaml, [&](Result<objects::Value> document, int) {
    ASSERT_TRUE(document.has_value()) << document.error();
    out.push_back(std::move(*document));
  });
  return out;
}

std::vector<objects::Object> decode_yaml(std::string_view yaml) {
  std::vector<objects::Object> out;
  for (const objects::Value& value : read_yaml(yaml)) {
    objects::Decoded decoded = objects::decode(value, {});
    for (const auto& problem : decoded.problems) ADD_FAILURE() << problem.field << problem.error;
    for (objects::Object& object : decoded.objects) out.push_back(std::move(object));
  }
  return out;
}

void apply_yaml(Index& index, std::string_view yaml) {
  for (const objects::Object& object : decode_yaml(yaml)) index.apply(object);
}

std::string to_json(const objects::Value& value) {
  using Kind = objects::Value::Kind;
  std::string out;
  switch (value.kind) {
    case Kind::Null:
      return "null";
    case Kind::Scalar:
      return objects::scalar_type(value) == objects::ScalarType::String ? json_text(value.scalar)
                                                                        : value.scalar;
    case Kind::List:
      for (const objects::Value& each : value.list) out += (out.empty() ? "" : ",") + to_json(each);
      return '[' + out + ']';
    case Kind::Map:
      for (const auto& [key, each] : value.map) {
        out += (out.empty() ? "" : ",") + json_text(key) + ':' + to_json(each);
      }
      return '{' + out + '}';
  }
  return out;
}

std::string review_of(std::string_view operation, const objects::Value& object,
                      const std::string& more) {
  const std::string version = text_at(object, "apiVersion");
  const std::size_t slash = version.find('/');
  const std::string group = slash == std::string::npos ? "" : version.substr(0, slash);
  std::string kind;
  if (more.find(R"("kind":{)") == std::string::npos) {
    kind = R"("kind":{"group":)" + json_text(group) + R"(,"version":)" +
           json_text(version.substr(slash == std::string::npos ? 0 : slash + 1)) + R"(,"kind":)" +
           json_text(text_at(object, "kind")) + "},";
  }
  return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1",)" +
         kind + R"("operation":)" + json_text(operation) + R"(,"object":)" + to_json(object) +
         more + "}}";
}

const StandIns& stand_ins() {
  static const Result<StandIns>* const kMade = new Result<StandIns>(StandIns::make());
  EXPECT_TRUE(kMade->has_value()) << kMade->error();
  return **kMade;
}

}  // namespace handfast::admission::testing
