#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

using ::testing::HasSubstr;

Secret secret(std::string_view rest) {
  const Decoded decoded =
      decode_yaml("apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\n" + std::string(rest));
  const auto* found = only<Secret>(decoded);
  return found == nullptr ? Secret{} : *found;
}

std::string map_problem(std::string_view rest) {
  return problem_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\n" + std::string(rest));
}

TEST(Base64, DecodesEveryLengthOfTheLastGroup) {
  EXPECT_EQ(decode_base64("").value(), "");
  EXPECT_EQ(decode_base64("Zg==").value(), "f");
  EXPECT_EQ(decode_base64("Zm8=").value(), "fo");
  EXPECT_EQ(decode_base64("Zm9v").value(), "foo");
  EXPECT_EQ(decode_base64("Zm9vYg==").value(), "foob");
  EXPECT_EQ(decode_base64("/+8A").value(), std::string("\xff\xef\0", 3));
}

TEST(Base64, AllowsLinesAndBlanks) {
  EXPECT_EQ(decode_base64("Zm9v\r\nYm Fy\n").value(), "foobar");
}

TEST(Base64, RefusesWhatIsBroken) {
  for (const char* bad :
       {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zg==Zg==", "Zm9v=", "Zm9-", "Z=g=", "Zm9v!"}) {
    EXPECT_FALSE(decode_base64(bad).has_value()) << bad;
  }
}

TEST(DecodeSecret, DecodesDataAndLetsStringDataWin) {
  const Secret found = secret(R"(
type: kubernetes.io/tls
data: {tls.crt: Y2VydA==, tls.key: a2V5}
stringData: {tls.key: other, ca.crt: "ca"}
)");

  EXPECT_EQ(found.type, "kubernetes.io/tls");
  EXPECT_EQ(found.data.at("tls.crt").bytes, "cert");
  EXPECT_EQ(found.data.at("tls.key").bytes, "other");
  EXPECT_EQ(found.data.at("ca.crt").bytes, "ca");
}

TEST(DecodeSecret, AValueThatCantBeDecodedIsThereAndBad) {
  const Secret found = secret(R"(
data:
  broken: "%%%"
  number: 1234
  list: [a]
  good: Z29vZA==
)");

  EXPECT_THAT(found.data.at("broken").problem, HasSubstr("is not base64 at byte 0"));
  EXPECT_EQ(found.data.at("number").problem, "is not a string: quote it");  // shows no value
  EXPECT_EQ(found.data.at("list").problem, "is not a string: quote it");
  EXPECT_EQ(found.data.at("good"), (DataValue{"good", ""}));
}

TEST(DecodeSecret, ProblemsNeverShowAnEncodedValue) {
  const Secret found = secret("data: {tls.key: c2VjcmV0LXNlY3JldA}\n");

  EXPECT_EQ(found.data.at("tls.key").problem, "is not whole base64: it ends too early");
}

TEST(DecodeSecret, ANullValueIsThereAndEmpty) {
  const Secret found = secret("data: {ca.crt: }\nstringData: {ca.crl: ~}\n");

  EXPECT_EQ(found.data.at("ca.crt"), DataValue{});
  EXPECT_EQ(found.data.at("ca.crl"), DataValue{});
}

TEST(DecodeSecret, IsOpaqueUnlessItSaysSomethingElse) { EXPECT_EQ(secret("").type, "Opaque"); }

TEST(DecodeConfigMap, ReadsDataAndBinaryData) {
  const Decoded decoded = decode_yaml(R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |
    line one
    line two
binaryData: {ca.crl: AAE=}
)");

  const auto* map = only<ConfigMap>(decoded);
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(map->data.at("ca.crt").bytes, "line one\nline two\n");
  EXPECT_EQ(map->data.at("ca.crl").bytes, std::string("\0\1", 2));
}

TEST(DecodeConfigMap, RefusesAKeyInBothAndKeysThatAreNone) {
  EXPECT_EQ(map_problem("data: {a: b}\nbinaryData: {a: AA==}\n"), "binaryData.a: is in data too");
  EXPECT_THAT(map_problem("data: {../a: b}\n"), HasSubstr("data[../a]: must be letters"));
  EXPECT_EQ(map_problem("data: [a]\n"), "data: must be a map");
}

}  // namespace
}  // namespace handfast::objects
