#include "proxy/http/chars.h"

#include <string>

#include <gtest/gtest.h>

#include "proxy/http/fields.h"

namespace handfast::http {
namespace {

TEST(Chars, ComparesWithoutCaseInAsciiOnly) {
  EXPECT_TRUE(equal_ignore_case("aZ09-_", "Az09-_"));
  EXPECT_FALSE(equal_ignore_case("a", "ab"));
  EXPECT_FALSE(equal_ignore_case("@", "`"));
  EXPECT_FALSE(equal_ignore_case("[", "{"));
  EXPECT_FALSE(equal_ignore_case("\xc9", "\xe9"));
}

TEST(Chars, NoClassHoldsNul) {
  EXPECT_FALSE(has_class('\0', kTokenChar | kValueChar | kTargetChar | kHostChar));
}

// The word-wise search must agree with the table for every byte at every place in a word.
TEST(Chars, FindsEveryByteThatMayNotStandInAValueWhereverItStands) {
  for (unsigned c = 0; c < 256; ++c) {
    for (std::size_t place = 0; place < 20; ++place) {
      std::string text(20, '\xfe');
      text[place] = static_cast<char>(c);
      const char* const end = text.data() + text.size();
      const bool allowed = has_class(text[place], kValueChar);

      EXPECT_EQ(find_non_value(text.data(), end), allowed ? end : text.data() + place)
          << "byte " << c << " at " << place;
    }
  }
}

TEST(Chars, FindsAControlByteBehindTabs) {
  const std::string text = "\t\t\t\t\t\t\t\t\t\t\x01\t\t\t\t\t\t\t\t\t";

  EXPECT_EQ(find_non_value(text.data(), text.data() + text.size()), text.data() + 10);
}

}  // namespace
}  // namespace handfast::http
