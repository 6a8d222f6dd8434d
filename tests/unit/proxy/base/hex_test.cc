#include "proxy/base/hex.h"

#include <gtest/gtest.h>

namespace handfast {
namespace {

TEST(Hex, HasTwoDigitsForEachByte) {
  std::string text = ">";

  for (const unsigned char byte : {0x00, 0x0f, 0xa0, 0xff}) append_hex(text, byte);

  EXPECT_EQ(text, ">000fa0ff");
}

}  // namespace
}  // namespace handfast
