#pragma once
// The command line of our programs, and the environment beside it.
//
//   OptionSet options{"handfast-proxy", "serves traffic by the files of a state directory"};
//   options.add_text("state-dir", "DIR", "/run/handfast", "where the generations lie");
//   const auto parsed = options.parse(argc, argv, environ);
//   if (!parsed) { …parsed.error().detail is one line for stderr; exit 2… }
//   if (parsed->help()) { …options.usage() to stdout; exit 0… }
//
// `--name value` and `--name=value`; a flag alone means true. What the command line doesn't say,
// the environment may: HANDFAST_STATE_DIR for --state-dir (an empty variable counts as unset).
// Unknown options and bad values are errors that name the option or the variable; nothing is
// guessed.
//
// Ownership: values only. Asking ParsedOptions for an option that was not added, or by another
// type, is our own bug.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast {

class ParsedOptions {
 public:
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] std::uint64_t number(std::string_view name) const;
  [[nodiscard]] std::chrono::milliseconds duration(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& list(std::string_view name) const;
  [[nodiscard]] const std::vector<std::string>& positionals() const { return positionals_; }

  // Whether the command line or the environment said it: apart from the default.
  [[nodiscard]] bool was_set(std::string_view name) const;
  [[nodiscard]] bool help() const { return help_; }
  [[nodiscard]] bool version() const { return version_; }

 private:
  friend class OptionSet;

  // A text, flag ("true"), number or duration has one value; a list any number.
  struct Value {
    std::vector<std::string> texts;
    std::uint64_t number = 0;  // of a number; milliseconds of a duration
    bool was_set = false;
  };
  [[nodiscard]] const Value& find(std::string_view name) const;

  std::map<std::string, Value, std::less<>> values_;
  std::vector<std::string> positionals_;
  bool help_ = false;
  bool version_ = false;
};

class OptionSet {
 public:
  OptionSet(std::string program, std::string summary);

  // `placeholder` is what usage() calls the value: "DIR", "ADDR:PORT".
  void add_text(std::string name, std::string placeholder, std::string otherwise, std::string help);
  void add_choice(std::string name, std::vector<std::string> choices, std::string otherwise,
                  std::string help);
  void add_flag(std::string name, std::string help);
  void add_number(std::string name, std::uint64_t otherwise, std::uint64_t least,
                  std::uint64_t most, std::string help);
  // "10s", "500ms", "2m", "1h"; a bare number means seconds.
  void add_duration(std::string name, std::string otherwise, std::string help);
  // May be given several times and takes lists with commas; in the environment blanks separate too.
  void add_list(std::string name, std::string placeholder, std::string help);
  // May be given several times; a value may hold commas. In the environment blanks separate.
  void add_repeated(std::string name, std::string placeholder, std::string help);
  // What may stand beside options: "DIR", "PATH…". None without this call.
  void set_positionals(std::string placeholder, std::size_t least, std::size_t most);

  // `environment` as environ(7); may be null. argv[0] is skipped.
  [[nodiscard]] Result<ParsedOptions> parse(int argc, const char* const* argv,
                                            const char* const* environment) const;

  [[nodiscard]] std::string usage() const;

 private:
  enum class Type : std::uint8_t { Text, Choice, Flag, Number, Duration, List, Repeated };
  struct Option {
    std::string name, placeholder, otherwise, help;
    Type type = Type::Text;
    std::vector<std::string> choices;
    std::uint64_t least = 0, most = 0;
  };

  void add(Option option);
  [[nodiscard]] const Option* find(std::string_view name) const;
  // Puts `text` into `value`; `origin` is how an error calls the option.
  [[nodiscard]] static Status store(const Option& option, const std::string& origin,
                                    std::string_view text, ParsedOptions::Value& value);
  [[nodiscard]] Status parse_arguments(int argc, const char* const* argv,
                                       ParsedOptions& parsed) const;
  [[nodiscard]] Status parse_environment(const char* const* environment,
                                         ParsedOptions& parsed) const;
  [[nodiscard]] Status check_positionals(const ParsedOptions& parsed) const;

  std::string program_;
  std::string summary_;
  std::vector<Option> options_;
  std::string positional_placeholder_;
  std::size_t least_positionals_ = 0;
  std::size_t most_positionals_ = 0;
};

// "10s", "500ms", "2m", "1h", "10" (seconds); at most a year.
[[nodiscard]] Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace handfast
