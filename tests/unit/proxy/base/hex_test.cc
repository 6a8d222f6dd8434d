#include "proxy/base/hex.h"

#include <gtest/gtest.h>

namespace handfast {
namespace {

TEST(Hex, HasTwoDigitsForEachByte) {
  std::string text = ">";

  for (const int byte : {0x00, 0x0f, 0xa0, 0xff})
    append_hex(text, static_cast<unsigned char>(byte));

  EXPECT_EQ(text, ">000fa0ff");
}

TEST(Percent, LeavesWhatIsUnreservedAndNothingElse) {
  EXPECT_EQ(percent_encode("type!=a/b c"), "type%21%3Da%2Fb%20c");
  EXPECT_EQ(percent_encode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(percent_encode("\xc3\xa4\n"), "%C3%A4%0A");
}

}  // namespace
}  // namespace handfast
