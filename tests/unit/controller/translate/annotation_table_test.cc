#include "controller/translate/annotation_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace handfast::translate {
namespace {

std::string section(const std::string& page, const std::string& title) {
  const std::size_t begin = page.find("\n## " + title);
  if (begin == std::string::npos) return {};
  return page.substr(begin, page.find("\n## ", begin + 1) - begin);
}

const char* title_of(AnnotationClass what) {
  switch (what) {
    case AnnotationClass::Implemented:
      return "Implemented";
    case AnnotationClass::Refused:
      return "Refused";
    case AnnotationClass::Ignored:
      return "Without effect";
  }
  return "";
}

TEST(AnnotationTable, HoldsEveryAnnotationOfIngressNginxWithAliasesAndRemovedOnes) {
  // 136 of ingress-nginx 1.15, 2 aliases, 14 removed ones, 6 of ours.
  EXPECT_EQ(annotation_table().size(), 158U);
  EXPECT_NE(find_annotation(kNginxPrefix, "auth-tls-match-cn"), nullptr);
  EXPECT_NE(find_annotation(kOwnPrefix, "limit-whitelist"), nullptr);
}

TEST(AnnotationTable, GivesAReasonInEveryRow) {
  for (const AnnotationRow& row : annotation_table()) {
    EXPECT_FALSE(row.why.empty()) << row.name;
  }
}

TEST(AnnotationTable, KnowsOurOwnNamesUnderOurPrefixOnly) {
  for (const std::string_view name :
       {"auth-proxy-ssl-secret", "auth-tls-announce-ca", "auth-tls-match-san", "auth-upstream-ca",
        "upstream-ca", "upstream-http2"}) {
    EXPECT_NE(find_annotation(kOwnPrefix, name), nullptr) << name;
    EXPECT_EQ(find_annotation(kNginxPrefix, name), nullptr) << name;
  }
}

TEST(AnnotationTable, RefusesWhateverRestrictsAccess) {
  for (const std::string_view name :
       {"auth-type", "auth-snippet", "limit-allowlist", "limit-rps", "satisfy",
        "enable-modsecurity", "server-snippet", "rewrite-target", "canary", "mirror-target",
        "upstream-vhost"}) {
    const AnnotationRow* row = find_annotation(kNginxPrefix, name);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_EQ(row->what, AnnotationClass::Refused) << name;
  }
}

TEST(AnnotationTable, SuggestsTheNearestNameForATypingMistake) {
  EXPECT_EQ(closest_annotation("whitelist-source-rang"), "whitelist-source-range");
  EXPECT_EQ(closest_annotation("proxy-ssl-verfy"), "proxy-ssl-verify");
  EXPECT_EQ(closest_annotation("authurl"), "auth-url");
}

TEST(AnnotationTable, SuggestsNothingForWhatIsNoMistake) {
  EXPECT_EQ(closest_annotation(""), "");
  EXPECT_EQ(closest_annotation("make-coffee"), "");
  EXPECT_EQ(closest_annotation(std::string(1U << 20U, 'x')), "");
}

TEST(AnnotationTable, IsExplainedRowByRowInTheDocumentation) {
  std::ifstream file{HANDFAST_DOCS "/annotations.md"};
  const std::string page{std::istreambuf_iterator<char>{file}, {}};
  ASSERT_FALSE(page.empty());

  for (const AnnotationRow& row : annotation_table()) {
    const std::string text = section(page, title_of(row.what));
    EXPECT_NE(text.find("| `" + std::string{row.name} + "` |"), std::string::npos)
        << row.name << " has no row under \"" << title_of(row.what) << '"';
  }
}

}  // namespace
}  // namespace handfast::translate
