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

}  // namespace
}  // namespace handfast
