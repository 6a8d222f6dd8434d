#include "proxy/http/phrases.h"

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

TEST(ReasonPhrase, IsEmptyForUnknownCodes) {
  EXPECT_EQ(reason_phrase(404), "Not Found");
  EXPECT_EQ(reason_phrase(599), "");
  EXPECT_EQ(reason_phrase(0), "");
}

}  // namespace
}  // namespace handfast::http
