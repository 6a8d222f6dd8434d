#include "controller/translate/report.h"

#include <gtest/gtest.h>

namespace handfast::translate {
namespace {

objects::Decoded::Problem problem(Reason reason) {
  return {{"Secret", "shop", "orders-tls"},
          {"shop.yaml", 12},
          "data[ca.crt]",
          {reason, "is not base64"},
          {}};
}

TEST(Report, AProblemOfASourceIsAnErrorThatNamesFileObjectAndField) {
  const std::string text = to_text(to_finding(problem(Reason::BadObject)));

  EXPECT_TRUE(
      text.starts_with("shop.yaml:12: error: Secret shop/orders-tls: data[ca.crt]: is not base64 "))
      << text;
  EXPECT_TRUE(text.ends_with(" [bad_object]")) << text;
}

TEST(Report, WhateverCannotBeReadHasARemedy) {
  for (int reason = 0; reason < kReasonCount; ++reason) {
    EXPECT_FALSE(to_finding(problem(static_cast<Reason>(reason))).remedy.empty())
        << to_string(static_cast<Reason>(reason));
  }
}

TEST(Report, ARemedyThatTheSourceKnowsIsItsOwn) {
  objects::Decoded::Problem own = problem(Reason::Io);
  own.remedy = "Raise the limit.";

  EXPECT_EQ(to_finding(own).remedy, "Raise the limit.");
}

}  // namespace
}  // namespace handfast::translate
