#include "controller/translate/config_map_table.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace handfast::translate {
namespace {

const char* title_of(ConfigKeyClass what) {
  switch (what) {
    case ConfigKeyClass::Implemented:
      return "Implemented";
    case ConfigKeyClass::Restricts:
      return "Refused";
    case ConfigKeyClass::Missing:
      return "Missing";
    case ConfigKeyClass::Ignored:
      return "Without effect";
  }
  return "";
}

std::string section(const std::string& page, const std::string& title) {
  const std::size_t begin = page.find("\n## " + title);
  if (begin == std::string::npos) return {};
  return page.substr(begin, page.find("\n## ", begin + 1) - begin);
}

TEST(ConfigMapTable, FindsItsKeysAndNoOthers) {
  ASSERT_NE(find_config_key("ssl-protocols"), nullptr);
  EXPECT_EQ(find_config_key("ssl-protocol"), nullptr);
  EXPECT_EQ(find_config_key(""), nullptr);
  EXPECT_EQ(find_config_key("zzz"), nullptr);
}

TEST(ConfigMapTable, KnowsWhatRestrictsAccess) {
  for (const std::string_view name :
       {"whitelist-source-range", "denylist-source-range", "block-cidrs", "block-referers",
        "block-user-agents", "global-auth-snippet", "enable-modsecurity"}) {
    ASSERT_NE(find_config_key(name), nullptr) << name;
    EXPECT_EQ(find_config_key(name)->what, ConfigKeyClass::Restricts) << name;
  }
  for (const std::string_view name : {"server-snippet", "hide-headers", "use-proxy-protocol"}) {
    ASSERT_NE(find_config_key(name), nullptr) << name;
    EXPECT_EQ(find_config_key(name)->what, ConfigKeyClass::Missing) << name;
  }
}

TEST(ConfigMapTable, IsExplainedRowByRowInTheDocumentation) {
  std::ifstream file{HANDFAST_DOCS "/configmap.md"};
  const std::string page{std::istreambuf_iterator<char>{file}, {}};
  ASSERT_FALSE(page.empty());

  for (const ConfigKeyRow& row : config_map_table()) {
    EXPECT_FALSE(row.why.empty()) << row.name;
    EXPECT_NE(section(page, title_of(row.what)).find("| `" + std::string{row.name} + "` |"),
              std::string::npos)
        << row.name << " has no row under \"" << title_of(row.what) << '"';
  }
}

}  // namespace
}  // namespace handfast::translate
