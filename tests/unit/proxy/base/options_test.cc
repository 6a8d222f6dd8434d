#include "proxy/base/options.h"

#include <gtest/gtest.h>

namespace handfast {
namespace {

OptionSet sample() {
  OptionSet options{"handfast-sample", "does nothing"};
  options.add_text("state-dir", "DIR", "/run/handfast", "where the generations lie");
  options.add_choice("log-level", {"info", "debug"}, "info", "least level");
  options.add_flag("watch", "keep looking");
  options.add_number("workers", 0, 1, 64, "threads");
  options.add_duration("shutdown-delay", "0s", "how long to keep accepting");
  options.add_list("allow", "PATTERN", "namespace/name patterns");
  options.add_repeated("minimum", "SPEC", "least TLS");
  options.set_positionals("[DIR]", 0, 1);
  return options;
}

Result<ParsedOptions> parse(std::vector<const char*> arguments,
                            std::vector<const char*> environment = {}) {
  arguments.insert(arguments.begin(), "program");
  environment.push_back(nullptr);
  return sample().parse(static_cast<int>(arguments.size()), arguments.data(), environment.data());
}

TEST(Options, HaveDefaults) {
  const auto parsed = parse({});

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->text("state-dir"), "/run/handfast");
  EXPECT_FALSE(parsed->flag("watch"));
  EXPECT_EQ(parsed->number("workers"), 0u);
  EXPECT_EQ(parsed->duration("shutdown-delay"), std::chrono::seconds(0));
  EXPECT_TRUE(parsed->list("allow").empty());
  EXPECT_FALSE(parsed->was_set("state-dir"));
}

TEST(Options, TakeValuesAfterAnEqualsSignOrAsTheNextArgument) {
  const auto parsed = parse({"--state-dir=/a=b", "--workers", "4", "--watch", "here",
                             "--shutdown-delay=500ms", "--log-level", "debug"});

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->text("state-dir"), "/a=b");
  EXPECT_EQ(parsed->number("workers"), 4u);
  EXPECT_TRUE(parsed->flag("watch"));
  EXPECT_EQ(parsed->duration("shutdown-delay"), std::chrono::milliseconds(500));
  EXPECT_EQ(parsed->text("log-level"), "debug");
  EXPECT_EQ(parsed->positionals(), std::vector<std::string>{"here"});
}

TEST(Options, GatherListsAndRepeatedOnes) {
  const auto parsed =
      parse({"--allow=shop/*,pay/x", "--allow", "a/b", "--minimum=server,crl", "--minimum=mutual"});

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->list("allow"), (std::vector<std::string>{"shop/*", "pay/x", "a/b"}));
  EXPECT_EQ(parsed->list("minimum"), (std::vector<std::string>{"server,crl", "mutual"}));
}

TEST(Options, ComeFromTheEnvironmentUnlessTheCommandLineSaysThem) {
  const auto parsed = parse({"--state-dir=/cli"},
                            {"HANDFAST_STATE_DIR=/env", "HANDFAST_WORKERS=2", "HANDFAST_WATCH=true",
                             "HANDFAST_ALLOW=a/b c/d,e/f", "HANDFAST_MINIMUM=server,crl mutual",
                             "HANDFAST_LOG_LEVEL=", "HANDFAST_SERVICE_HOST=10.0.0.1"});

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->text("state-dir"), "/cli");
  EXPECT_EQ(parsed->number("workers"), 2u);
  EXPECT_TRUE(parsed->was_set("workers"));
  EXPECT_TRUE(parsed->flag("watch"));
  EXPECT_EQ(parsed->list("allow"), (std::vector<std::string>{"a/b", "c/d", "e/f"}));
  EXPECT_EQ(parsed->list("minimum"), (std::vector<std::string>{"server,crl", "mutual"}));
  EXPECT_EQ(parsed->text("log-level"), "info");
}

TEST(Options, SayWhichOptionOrVariableIsWrong) {
  EXPECT_EQ(parse({"--stat-dir=/a"}).error().detail,
            "--stat-dir: is not an option of handfast-sample");
  EXPECT_EQ(parse({"-x"}).error().detail, "-x: is not an option of handfast-sample");
  EXPECT_EQ(parse({"--state-dir"}).error().detail, "--state-dir: needs a value (DIR)");
  EXPECT_EQ(parse({"--workers=65"}).error().detail,
            "--workers: must be a whole number from 1 to 64");
  EXPECT_EQ(parse({}, {"HANDFAST_WATCH=yes"}).error().detail,
            "HANDFAST_WATCH: must be true or false");
  EXPECT_EQ(parse({"--log-level=loud"}).error().detail, "--log-level: must be one of info|debug");
  EXPECT_EQ(parse({"a", "b"}).error().detail, "b: is one argument too many for handfast-sample");
}

TEST(Options, TreatEverythingAfterTwoDashesAsArguments) {
  const auto parsed = parse({"--", "--watch"});

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_FALSE(parsed->flag("watch"));
  EXPECT_EQ(parsed->positionals(), std::vector<std::string>{"--watch"});
}

TEST(Options, ListThemselves) {
  const std::string usage = sample().usage();

  EXPECT_NE(usage.find("--state-dir DIR"), std::string::npos) << usage;
  EXPECT_NE(usage.find("where the generations lie (/run/handfast)"), std::string::npos) << usage;
  EXPECT_TRUE(parse({"--help"})->help());
  EXPECT_TRUE(parse({"--version"})->version());
}

TEST(Duration, HasAUnit) {
  EXPECT_EQ(parse_duration("10").value(), std::chrono::seconds(10));
  EXPECT_EQ(parse_duration("2m").value(), std::chrono::minutes(2));
  EXPECT_EQ(parse_duration("1h").value(), std::chrono::hours(1));
  EXPECT_FALSE(parse_duration(""));
  EXPECT_FALSE(parse_duration("s"));
  EXPECT_FALSE(parse_duration("-1s"));
  EXPECT_FALSE(parse_duration("1d"));
  EXPECT_FALSE(parse_duration("99999999999999999999s"));
  EXPECT_FALSE(parse_duration("9000h"));
}

}  // namespace
}  // namespace handfast
