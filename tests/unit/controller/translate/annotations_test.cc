#include "controller/translate/annotations.h"

#include <gtest/gtest.h>

#include <string>

namespace handfast::translate {
namespace {

objects::Ingress annotated(std::initializer_list<std::pair<std::string, std::string>> annotations) {
  objects::Ingress ingress;
  ingress.meta.ns = "shop";
  ingress.meta.name = "orders";
  for (const auto& [name, value] : annotations) ingress.meta.annotations[name] = value;
  return ingress;
}

TEST(Annotations, ReadsGoSpellingsOfBooleansAndNoOthers) {
  EXPECT_EQ(parse_bool("T"), true);
  EXPECT_EQ(parse_bool("TRUE"), true);
  EXPECT_EQ(parse_bool("0"), false);
  EXPECT_EQ(parse_bool("False"), false);
  EXPECT_EQ(parse_bool("tRUE"), std::nullopt);
  EXPECT_EQ(parse_bool("yes"), std::nullopt);
  EXPECT_EQ(parse_bool(""), std::nullopt);
}

TEST(Annotations, TrimsValuesAndPrefersOurPrefix) {
  const objects::Ingress ingress =
      annotated({{"nginx.ingress.kubernetes.io/proxy-ssl-verify", "off"},
                 {"handfast.dev/proxy-ssl-verify", " on\n"}});

  const Annotations annotations{ingress};

  ASSERT_NE(annotations.find("proxy-ssl-verify"), nullptr);
  EXPECT_EQ(annotations.find("proxy-ssl-verify")->value, "on");
  EXPECT_EQ(annotations.find("proxy-ssl-verify")->key, "handfast.dev/proxy-ssl-verify");
}

TEST(Annotations, NeverEchoAMegabyteOfValueOrName) {
  const std::string megabyte(1U << 20U, 'x');
  const objects::Ingress ingress =
      annotated({{"nginx.ingress.kubernetes.io/ssl-redirect", megabyte},
                 {"nginx.ingress.kubernetes.io/" + megabyte, "true"}});
  Report findings;
  ObjectReport report{findings, "Ingress", ingress.meta};
  std::optional<config::Refusal> refused;

  const Annotations annotations{ingress};
  static_cast<void>(read_switch(annotations, "ssl-redirect", true, report, refused));
  const auto reviewed = annotations.review(report);

  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->reason, Reason::InvalidValue);
  ASSERT_TRUE(reviewed.has_value());
  ASSERT_EQ(findings.size(), 2U);
  for (const Finding& finding : findings) EXPECT_LT(to_text(finding).size(), 600U);
}

TEST(Annotations, TellOnlyTheFirstOfThousandsOfUnknownOnes) {
  objects::Ingress ingress = annotated({});
  for (int i = 0; i < 5000; ++i) {
    ingress.meta.annotations["handfast.dev/unknown-" + std::to_string(i)] = "x";
  }
  Report findings;
  ObjectReport report{findings, "Ingress", ingress.meta};

  const auto refused = Annotations{ingress}.review(report);

  EXPECT_TRUE(refused.has_value());
  EXPECT_EQ(findings.size(), 17U);
}

TEST(Annotations, ControlCharactersOfAValueDontReachTheReport) {
  EXPECT_EQ(clip("a\x1b[31m\nb"), "a?[31m?b");
  // Cut between characters, never inside one.
  EXPECT_EQ(clip("aä", 2), "a... (3 bytes)");
}

}  // namespace
}  // namespace handfast::translate
