#include "controller/reconcile/findings_log.h"

#include <gtest/gtest.h>

#include <utility>

namespace handfast::reconcile {
namespace {

translate::Finding finding(const std::string& name, const std::string& message = "is not PEM") {
  translate::Finding made;
  made.severity = translate::Severity::Error;
  made.reason = Reason::BadCa;
  made.object = {"Secret", "shop", name};
  made.origin = {"shop.yaml", 12};
  made.field = "data[ca.crt]";
  made.message = message;
  made.remedy = "Write a PEM certificate.";
  return made;
}

class FindingsLogTest : public ::testing::Test {
 protected:
  void expect_change(const translate::Report& report, std::size_t appeared, std::size_t over) {
    const FindingsLog::Change change = log_.update(std::exchange(before_, report), report);
    EXPECT_EQ(change.appeared, appeared);
    EXPECT_EQ(change.over, over);
  }
  FindingsLog log_;
  translate::Report before_;
};

TEST_F(FindingsLogTest, SaysAFindingOnce) {
  expect_change({finding("a"), finding("b")}, 2, 0);
  expect_change({finding("a"), finding("b")}, 0, 0);
}

TEST_F(FindingsLogTest, SaysOnceThatItIsOver) {
  expect_change({finding("a"), finding("b")}, 2, 0);
  expect_change({finding("b")}, 0, 1);
  expect_change({finding("b")}, 0, 0);
}

TEST_F(FindingsLogTest, SaysAFindingAgainThatComesBack) {
  expect_change({finding("a")}, 1, 0);
  expect_change({}, 0, 1);
  expect_change({finding("a")}, 1, 0);
}

TEST_F(FindingsLogTest, SaysAFindingAnewWhenItsTextChanges) {
  expect_change({finding("a")}, 1, 0);
  expect_change({finding("a", "has expired")}, 1, 1);
}

TEST_F(FindingsLogTest, TakesALineThatMovedForNoNews) {
  expect_change({finding("a")}, 1, 0);
  translate::Finding moved = finding("a");
  moved.origin.line = 13;
  expect_change({moved}, 0, 0);
}

TEST_F(FindingsLogTest, SaysEqualFindingsOnce) {
  expect_change({finding("a"), finding("a")}, 1, 0);
}

TEST_F(FindingsLogTest, SaysItIsOverWhenTheLastOfEqualOnesIs) {
  expect_change({finding("a"), finding("a")}, 1, 0);
  expect_change({finding("a")}, 0, 0);
  expect_change({}, 0, 1);
}

TEST_F(FindingsLogTest, CountsWhatIsWrongNow) {
  const std::pair key{translate::Severity::Error, Reason::BadCa};
  expect_change({finding("a"), finding("a"), finding("b")}, 2, 0);
  EXPECT_EQ(log_.counts(), (FindingsLog::Counts{{key, 3}}));
  expect_change({finding("b")}, 0, 1);
  EXPECT_EQ(log_.counts(), (FindingsLog::Counts{{key, 1}}));
  expect_change({}, 0, 1);
  EXPECT_TRUE(log_.counts().empty());
}

TEST_F(FindingsLogTest, TakesAFindingWithoutAnObject) {
  translate::Finding parse_error;
  parse_error.origin = {"shop.yaml", 3};
  parse_error.reason = Reason::BadYaml;
  expect_change({parse_error}, 1, 0);
  expect_change({}, 0, 1);
}

}  // namespace
}  // namespace handfast::reconcile
