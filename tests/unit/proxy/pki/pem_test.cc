#include "proxy/pki/pem.h"

#include <gtest/gtest.h>

#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::TestAuthority;

// Certificates parsed, or -1 and the sentence in `why`.
int count(std::string_view text, std::string* why = nullptr) {
  const auto certificates = parse_certificates(text, Reason::BadCa);
  if (!certificates && why != nullptr) *why = certificates.error().detail;
  return certificates ? static_cast<int>(certificates->size()) : -1;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, what.size(), with);
}

std::string with_crlf(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\r\n") : std::string(1, c);
  return out;
}

std::string as_utf16(std::string_view text) {
  std::string out = "\xff\xfe";
  for (const char c : text) (out += c) += '\0';
  return out;
}

class Pem : public ::testing::Test {
 protected:
  TestAuthority root_{"root"};
  TestAuthority other_{"other"};
  std::string one_ = root_.cert_pem();
  std::string two_ = root_.cert_pem() + other_.cert_pem();
};

TEST_F(Pem, ReadsEveryBlockAndIgnoresProseBetweenThem) {
  EXPECT_EQ(count(two_), 2);
  EXPECT_EQ(count("# our roots\n\nsubject=CN = root\n---\n" + two_ + "that was all\n"), 2);
  EXPECT_EQ(count("Our roots\n---------\n" + two_ + "---\n"), 2);
  EXPECT_EQ(count("Certificate:\n    Data:\n        Version: 3 (0x2)\n" + one_), 1);
}

TEST_F(Pem, ReadsCarriageReturnsAByteOrderMarkAndAMissingLastNewline) {
  EXPECT_EQ(count(with_crlf(two_)), 2);
  EXPECT_EQ(count("\xef\xbb\xbf" + two_), 2);
  EXPECT_EQ(count(std::string_view(two_).substr(0, two_.size() - 1)), 2);
}

TEST_F(Pem, RefusesADamagedBeginLineOfAnyBlock) {
  for (const char* damaged :
       {"----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE----", "-----BEGIN CERTIFICATE",
        "-----BEGINCERTIFICATE-----", "----- BEGIN CERTIFICATE-----", "-----begin certificate-----",
        "-----BEGN CERTIFICATE-----", " -----BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE",
        "#-----BEGIN CERTIFICATE-----", "", "-----CERTIFICATE-----"}) {
    const std::string broken = replaced(other_.cert_pem(), "-----BEGIN CERTIFICATE-----", damaged);
    std::string why;

    EXPECT_EQ(count(one_ + broken, &why), -1) << damaged;
    EXPECT_NE(why.find("entry 2"), std::string::npos) << damaged << ": " << why;
    EXPECT_EQ(count(broken + one_), -1) << damaged;
  }
}

TEST_F(Pem, RefusesADamagedOrMissingEndLine) {
  for (const char* damaged :
       {"-----END CERTIFICATE----", "-----END X509 CRL-----", "", "-----END"}) {
    const std::string broken = replaced(one_, "-----END CERTIFICATE-----", damaged);

    EXPECT_EQ(count(broken), -1) << damaged;
    EXPECT_EQ(count(broken + one_), -1) << damaged;
    EXPECT_EQ(count(one_ + broken), -1) << damaged;
  }
}

TEST_F(Pem, RefusesATextThatIsCutOffAnywhereInItsSecondBlock) {
  // From the first byte of the second block to the last dash of its END line.
  for (std::size_t size = one_.size() + 1; size < two_.size() - 1; ++size) {
    EXPECT_EQ(count(std::string_view(two_).substr(0, size)), -1) << size;
  }
}

TEST_F(Pem, RefusesABlockWhoseInsideIsDamaged) {
  EXPECT_EQ(count(one_ + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), -1);
  EXPECT_EQ(count(one_ + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), -1);
  std::string flipped = one_;
  flipped[one_.find('\n') + 20] = '!';
  EXPECT_EQ(count(flipped), -1);
}

TEST_F(Pem, RefusesBytesAfterTheCertificateInABlock) {
  const std::string longer =
      testing::pem_block("CERTIFICATE", root_.certificate().cert_der() + "x");
  std::string why;

  EXPECT_EQ(count(longer, &why), -1);
  EXPECT_NE(why.find("after the certificate"), std::string::npos) << why;
}

TEST_F(Pem, SaysWhatTheBytesAreIfTheyAreNotPem) {
  std::string why;

  EXPECT_EQ(count("", &why), -1);
  EXPECT_EQ(why, "is empty");
  EXPECT_EQ(count(" \r\n\n", &why), -1);
  EXPECT_EQ(why, "is empty");
  EXPECT_EQ(count(as_utf16(one_), &why), -1);
  EXPECT_NE(why.find("UTF-16"), std::string::npos) << why;
  EXPECT_EQ(count(as_utf16(one_).substr(2), &why), -1);
  EXPECT_NE(why.find("UTF-16"), std::string::npos) << why;
  EXPECT_EQ(count(root_.certificate().cert_der(), &why), -1);
  EXPECT_NE(why.find("DER"), std::string::npos) << why;
  EXPECT_EQ(count("no certificate here\n", &why), -1);
  EXPECT_NE(why.find("no PEM block"), std::string::npos) << why;
}

TEST_F(Pem, RefusesBlocksOfOtherKindsWithoutShowingThem) {
  const std::string key = root_.key_pem();
  std::string why;

  EXPECT_EQ(count(one_ + key, &why), -1);
  EXPECT_NE(why.find("entry 2: is a PRIVATE KEY"), std::string::npos) << why;
  EXPECT_EQ(why.find(key.substr(40, 16)), std::string::npos);
  EXPECT_EQ(count(one_ + root_.crl_pem()), -1);
  EXPECT_EQ(count(replaced(replaced(one_, "BEGIN ", "BEGIN TRUSTED "), "END ", "END TRUSTED ")),
            -1);
}

}  // namespace
}  // namespace handfast::pki
