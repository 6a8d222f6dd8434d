#include "controller/objects/json_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::objects {
namespace {

Result<Value> read(std::string_view text) { return JsonReader(text, 1).next(); }

TEST(JsonReader, ReadsEveryKindOfValueWithItsLine) {
  const auto value = read("{\"a\": [1, true, null, \"x\"],\n \"b\": {\"c\": -1.5e+3}}");

  ASSERT_TRUE(value.has_value()) << value.error();
  const Value* a = value->find("a");
  ASSERT_NE(a, nullptr);
  ASSERT_EQ(a->list.size(), 4U);
  EXPECT_EQ(a->list[0].scalar, "1");
  EXPECT_FALSE(a->list[0].quoted);
  EXPECT_EQ(a->list[1].scalar, "true");
  EXPECT_TRUE(a->list[2].is_null());
  EXPECT_TRUE(a->list[3].quoted);
  EXPECT_EQ(value->find("b")->line, 2);
  EXPECT_EQ(value->find("b")->find("c")->scalar, "-1.5e+3");
}

TEST(JsonReader, ReadsEscapesAndSurrogatePairs) {
  const auto value = read(R"("\"\\\/\n\u00e4\u20ac\ud83d\ude00")");

  ASSERT_TRUE(value.has_value()) << value.error();
  EXPECT_EQ(value->scalar, "\"\\/\n\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

TEST(JsonReader, ReadsOneValueAfterTheOther) {
  JsonReader reader("{\"a\":1}\n{\"b\":2}\n", 5);

  ASSERT_TRUE(reader.has_more());
  EXPECT_EQ(reader.next()->line, 5);
  ASSERT_TRUE(reader.has_more());
  EXPECT_EQ(reader.next()->line, 6);
  EXPECT_FALSE(reader.has_more());
}

TEST(JsonReader, RefusesWhatIsNoJson) {
  for (const char* bad : {"",
                          "{",
                          "[",
                          "{a: b}",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{\"a\":1,}",
                          "[1,]",
                          "[1 2]",
                          "\"a",
                          "\"a\nb\"",
                          "01",
                          "1.",
                          ".5",
                          "+1",
                          "1e",
                          "tru",
                          "'a'",
                          "\"\\x\"",
                          "\"\\u12\"",
                          "\"\\ud800\"",
                          "\"\\ud800\\u0041\"",
                          "\"\\udc00\"",
                          "{\"a\":1,\"a\":2}"}) {
    EXPECT_FALSE(read(bad).has_value()) << bad;
  }
}

TEST(JsonReader, SaysWhere) {
  const auto value = read("{\n  \"a\": x}");

  ASSERT_FALSE(value.has_value());
  EXPECT_EQ(value.error(), (Error{Reason::BadYaml, "2:8: expected a value"}));
}

TEST(JsonReader, RefusesDeepNesting) {
  EXPECT_TRUE(read(std::string(63, '[') + "1" + std::string(63, ']')).has_value());
  EXPECT_FALSE(read(std::string(64, '[') + "1" + std::string(64, ']')).has_value());
  EXPECT_FALSE(read(std::string(1'000'000, '[')).has_value());
}

TEST(JsonReader, PassesOverManagedFieldsOfMetadataAndNothingElse) {
  const std::string text =
      R"({"metadata":{"name":"a","managedFields":[{"f":{"k:{\"]":"}"}},1,true],"uid":"u"},)"
      R"("data":{"managedFields":"kept"},"managedFields":1})";

  const auto value = JsonReader(text, 1, JsonReader::Keep::WithoutManagedFields).next();

  ASSERT_TRUE(value.has_value()) << value.error();
  const Value* const metadata = value->find("metadata");
  EXPECT_EQ(metadata->find("managedFields"), nullptr);
  EXPECT_EQ(metadata->find("uid")->scalar, "u");
  EXPECT_EQ(value->find("data")->find("managedFields")->scalar, "kept");
  EXPECT_NE(value->find("managedFields"), nullptr);
}

TEST(JsonReader, PassesOverAScalarInTheirPlaceToo) {
  const auto value = JsonReader(R"({"metadata":{"managedFields":null,"name":"a"}})", 1,
                                JsonReader::Keep::WithoutManagedFields)
                         .next();

  ASSERT_TRUE(value.has_value()) << value.error();
  EXPECT_EQ(value->find("metadata")->map.size(), 1U);
}

TEST(JsonReader, RefusesManagedFieldsThatDoNotEnd) {
  for (const char* text :
       {R"({"metadata":{"managedFields":[{})", R"({"metadata":{"managedFields":)",
        R"({"metadata":{"managedFields":]}})"}) {
    EXPECT_FALSE(JsonReader(text, 1, JsonReader::Keep::WithoutManagedFields).next().has_value())
        << text;
  }
}

TEST(JsonReader, RefusesTheSameKeyTwiceInALargeMap) {
  std::string text = "{";
  for (int n = 0; n < 40; ++n) text += "\"k" + std::to_string(n) + "\":1,";

  EXPECT_TRUE(JsonReader(text + "\"k40\":1}", 1).next().has_value());
  EXPECT_FALSE(JsonReader(text + "\"k3\":1}", 1).next().has_value());
  EXPECT_FALSE(JsonReader(text + "\"k39\":1}", 1).next().has_value());
}

}  // namespace
}  // namespace handfast::objects
