#include "controller/kube/exec_plugin.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace handfast::kube {
namespace {

ExecPlugin shell(const std::string& script) {
  return {"/bin/sh", {"-c", script}, {{"GREETING", "hello"}}, "client.authentication.k8s.io/v1"};
}

TEST(ExecPlugin, ReadsATokenAndWhenItExpires) {
  const auto credential = parse_exec_credential(
      R"({"status":{"token":"abc","expirationTimestamp":"2026-03-01T12:00:00Z"}})");

  ASSERT_TRUE(credential.has_value()) << credential.error();
  EXPECT_EQ(credential->token, "abc");
  EXPECT_EQ(credential->expires, 1772366400);
}

TEST(ExecPlugin, RefusesWhatGivesNothing) {
  for (const char* text : {"", "x", "[]", "{}", R"({"status":{}})", R"({"status":{"token":1}})",
                           R"({"status":{"clientKeyData":"k"}})"}) {
    EXPECT_FALSE(parse_exec_credential(text).has_value()) << text;
  }
}

TEST(ExecPlugin, RunsTheProgramWithItsArgumentsAndVariables) {
  const auto credential = run(shell(R"(echo "{\"status\":{\"token\":\"$GREETING\"}}")"));

  ASSERT_TRUE(credential.has_value()) << credential.error();
  EXPECT_EQ(credential->token, "hello");
}

TEST(ExecPlugin, TellsTheProgramWhichVersionItSpeaks) {
  const auto credential = run(shell(
      R"(case "$KUBERNETES_EXEC_INFO" in *k8s.io/v1*) echo '{"status":{"token":"v1"}}';; esac)"));

  ASSERT_TRUE(credential.has_value()) << credential.error();
}

TEST(ExecPlugin, SaysThatItFailedAndNotWhatItPrinted) {
  const auto credential = run(shell("echo secret; exit 3"));

  ASSERT_FALSE(credential.has_value());
  EXPECT_NE(credential.error().detail.find("/bin/sh failed"), std::string::npos);
  EXPECT_EQ(credential.error().detail.find("secret"), std::string::npos);
}

TEST(ExecPlugin, EndsAProgramThatTakesTooLong) {
  for (const char* script : {"exec sleep 1000", "exec >&-; exec sleep 1000"}) {
    const auto credential = run(shell(script), std::chrono::milliseconds{100});

    ASSERT_FALSE(credential.has_value());
    EXPECT_NE(credential.error().detail.find("did not end in time"), std::string::npos) << script;
  }
}

TEST(ExecPlugin, SaysThatItCanNotBeStarted) {
  const auto credential = run({"/nowhere/at-all", {}, {}, "client.authentication.k8s.io/v1"});

  ASSERT_FALSE(credential.has_value());
  EXPECT_NE(credential.error().detail.find("can't be started"), std::string::npos);
}

}  // namespace
}  // namespace handfast::kube
