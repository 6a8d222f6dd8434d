#include "proxy/pki/common_name.h"

#include <gtest/gtest.h>

#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::TestAuthority;

class CommonName : public ::testing::Test {
 protected:
  bool matches(std::string_view pattern, const std::string& subject) const {
    const auto compiled = CommonNamePattern::compile(pattern);
    if (!compiled) {
      ADD_FAILURE() << compiled.error();
      return false;
    }
    return compiled->matches(*root_.issue("any.test", {.subject = subject}).x509());
  }

  TestAuthority root_{"root"};
};

TEST_F(CommonName, MatchesTheWholeOfACommonName) {
  EXPECT_TRUE(matches("CN=admin", "CN=admin"));
  EXPECT_TRUE(matches("CN=admin", "O=Shop/CN=admin"));
  EXPECT_TRUE(matches("CN=.*", "CN=anybody"));
  EXPECT_FALSE(matches("CN=admin", "CN=administrator"));
  EXPECT_FALSE(matches("CN=admin", "CN=not-admin"));
  EXPECT_FALSE(matches("CN=admin", "CN=Admin"));
}

TEST_F(CommonName, KnowsAlternatives) {
  EXPECT_TRUE(matches("CN=(one|two)", "CN=two"));
  EXPECT_TRUE(matches("CN=one|CN=two", "CN=two"));
  EXPECT_FALSE(matches("CN=one|CN=two", "CN=one-and-more"));
}

TEST_F(CommonName, LooksAtNoOtherPartOfTheSubject) {
  EXPECT_FALSE(matches("CN=admin", "O=CN=admin"));
  EXPECT_FALSE(matches("CN=.*", "O=Shop"));
}

TEST_F(CommonName, RefusesWhatIsNoPatternOrReadsOtherwiseElsewhere) {
  for (const char* text : {"", "admin", "CN=", "O=x,CN=a", "CN=(", "CN=a{9999}", "CN=\\1", "CN=\\d",
                           "CN=(?i)a", "CN=a*?", "CN=a\n", "CN=\xc3\xbc"}) {
    const auto compiled = CommonNamePattern::compile(text);
    ASSERT_FALSE(compiled) << text;
    EXPECT_EQ(compiled.error().reason, Reason::InvalidValue);
  }
  EXPECT_FALSE(CommonNamePattern::compile("CN=" + std::string(2000, 'a')));
}

}  // namespace
}  // namespace handfast::pki
