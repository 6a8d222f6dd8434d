#include "proxy/pki/common_name.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

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

// Found by fuzzing: common_name/corpus/not-utf8.
TEST_F(CommonName, ANameThatIsNoTextMatchesNothingAndLeavesNoError) {
  const std::shared_ptr<X509> certificate(X509_new(), X509_free);
  static constexpr unsigned char kName[] = "a\xff";
  ASSERT_EQ(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                       V_ASN1_UTF8STRING, kName, 2, -1, 0),
            1);
  const auto compiled = CommonNamePattern::compile("CN=.*");
  ASSERT_TRUE(compiled);

  EXPECT_FALSE(compiled->matches(*certificate));
  EXPECT_EQ(ERR_peek_error(), 0U);
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
