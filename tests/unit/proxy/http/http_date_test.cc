#include "proxy/http/http_date.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

std::string format(std::int64_t seconds) {
  std::array<char, kHttpDateBytes> text{};
  format_http_date(seconds, text.data());
  return {text.data(), text.size()};
}

TEST(HttpDate, IsWrittenAsTheRfcHasIt) {
  EXPECT_EQ(format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(format(951782399), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(format(1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
  EXPECT_EQ(format(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDate, OfNowHasTheSameForm) {
  const std::string_view now = http_date_now();

  EXPECT_EQ(now.size(), kHttpDateBytes);
  EXPECT_TRUE(now.ends_with(" GMT")) << now;
}

}  // namespace
}  // namespace handfast::http
