#include "proxy/pki/passphrases.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handfast::pki {
namespace {

std::vector<std::string> lines_of(std::string_view text) {
  const auto parsed = Passphrases::parse(text);
  if (!parsed) return {};
  return {parsed->lines().begin(), parsed->lines().end()};
}

TEST(Passphrases, AreOneALine) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_of("one"), Lines{"one"});
  EXPECT_EQ(lines_of("one\n"), Lines{"one"});
  EXPECT_EQ(lines_of("one\r\n\n two \n"), (Lines{"one", " two "}));
}

TEST(Passphrases, AreAtLeastOneAndAtMost64) {
  for (const std::string& text : {std::string{}, std::string{"\n\r\n"}, std::string(130, 'x')}) {
    std::string lines = text;
    if (lines.size() > 100) {
      for (std::size_t n = 1; n < lines.size(); n += 2) lines[n] = '\n';
    }
    const auto parsed = Passphrases::parse(lines);
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().reason, Reason::Passphrase);
  }
}

}  // namespace
}  // namespace handfast::pki
