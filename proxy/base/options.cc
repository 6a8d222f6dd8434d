#include "proxy/base/options.h"

#include <algorithm>
#include <charconv>

#include "proxy/base/check.h"

namespace handfast {
namespace {

std::string variable_of(std::string_view option) {
  std::string name = "HANDFAST_";
  for (const char c : option) {
    name.push_back(c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  }
  return name;
}

std::optional<std::uint64_t> try_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

[[nodiscard]] tl::unexpected<Error> bad(const std::string& origin, const std::string& what) {
  return fail(Reason::InvalidValue, origin + ": " + what);
}

void append_split(std::vector<std::string>& out, std::string_view text,
                  std::string_view separators) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view suffix;
    std::uint64_t milliseconds;
  };
  // "ms" before "s" and "m": the first suffix that fits decides.
  static constexpr Unit kUnits[] = {
      {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"", 1000}};
  static constexpr std::uint64_t kMost = 365ull * 24 * 3'600'000;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const auto number = try_number(text.substr(0, text.size() - unit.suffix.size()));
    if (!number || *number > kMost / unit.milliseconds) break;
    return std::chrono::milliseconds(*number * unit.milliseconds);
  }
  return fail(Reason::InvalidValue,
              "\"" + std::string(text) + "\" is not a duration like 10s, 500ms, 2m or 1h");
}

const ParsedOptions::Value& ParsedOptions::find(std::string_view name) const {
  const auto found = values_.find(name);
  check(found != values_.end(), "asked for an option that was not added");
  return found->second;
}

const std::string& ParsedOptions::text(std::string_view name) const {
  const Value& value = find(name);
  check(value.texts.size() == 1, "asked for the text of a list");
  return value.texts.front();
}

bool ParsedOptions::flag(std::string_view name) const { return text(name) == "true"; }

std::uint64_t ParsedOptions::number(std::string_view name) const { return find(name).number; }

std::chrono::milliseconds ParsedOptions::duration(std::string_view name) const {
  return std::chrono::milliseconds(find(name).number);
}

const std::vector<std::string>& ParsedOptions::list(std::string_view name) const {
  return find(name).texts;
}

bool ParsedOptions::was_set(std::string_view name) const { return find(name).was_set; }

OptionSet::OptionSet(std::string program, std::string summary)
    : program_(std::move(program)), summary_(std::move(summary)) {}

void OptionSet::add(Option option) {
  check(find(option.name) == nullptr, "an option was added twice");
  options_.push_back(std::move(option));
}

void OptionSet::add_text(std::string name, std::string placeholder, std::string otherwise,
                         std::string help) {
  add({std::move(name),
       std::move(placeholder),
       std::move(otherwise),
       std::move(help),
       Type::Text,
       {},
       0,
       0});
}

void OptionSet::add_choice(std::string name, std::vector<std::string> choices,
                           std::string otherwise, std::string help) {
  std::string placeholder;
  for (const std::string& choice : choices) {
    placeholder.append(placeholder.empty() ? "" : "|").append(choice);
  }
  add({std::move(name), std::move(placeholder), std::move(otherwise), std::move(help), Type::Choice,
       std::move(choices), 0, 0});
}

void OptionSet::add_flag(std::string name, std::string help) {
  add({std::move(name), "", "false", std::move(help), Type::Flag, {}, 0, 0});
}

void OptionSet::add_number(std::string name, std::uint64_t otherwise, std::uint64_t least,
                           std::uint64_t most, std::string help) {
  add({std::move(name),
       "N",
       std::to_string(otherwise),
       std::move(help),
       Type::Number,
       {},
       least,
       most});
}

void OptionSet::add_duration(std::string name, std::string otherwise, std::string help) {
  add({std::move(name), "TIME", std::move(otherwise), std::move(help), Type::Duration, {}, 0, 0});
}

void OptionSet::add_list(std::string name, std::string placeholder, std::string help) {
  add({std::move(name), std::move(placeholder), "", std::move(help), Type::List, {}, 0, 0});
}

void OptionSet::add_repeated(std::string name, std::string placeholder, std::string help) {
  add({std::move(name), std::move(placeholder), "", std::move(help), Type::Repeated, {}, 0, 0});
}

void OptionSet::set_positionals(std::string placeholder, std::size_t least, std::size_t most) {
  positional_placeholder_ = std::move(placeholder);
  least_positionals_ = least;
  most_positionals_ = most;
}

const OptionSet::Option* OptionSet::find(std::string_view name) const {
  for (const Option& option : options_) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

Status OptionSet::store(const Option& option, const std::string& origin, std::string_view text,
                        ParsedOptions::Value& value) {
  switch (option.type) {
    case Type::Text:
      break;
    case Type::Choice:
      if (std::find(option.choices.begin(), option.choices.end(), text) == option.choices.end()) {
        return bad(origin, "must be one of " + option.placeholder);
      }
      break;
    case Type::Flag:
      if (text != "true" && text != "false") return bad(origin, "must be true or false");
      break;
    case Type::Number: {
      const auto number = try_number(text);
      if (!number || *number < option.least || *number > option.most) {
        return bad(origin, "must be a whole number from " + std::to_string(option.least) + " to " +
                               std::to_string(option.most));
      }
      value.number = *number;
      break;
    }
    case Type::Duration: {
      const auto duration = parse_duration(text);
      if (!duration) return bad(origin, duration.error().detail);
      value.number = static_cast<std::uint64_t>(duration->count());
      break;
    }
    case Type::List:
      append_split(value.texts, text, ", \t\n");
      return {};
    case Type::Repeated:
      value.texts.emplace_back(text);
      return {};
  }
  value.texts.assign(1, std::string(text));
  return {};
}

Status OptionSet::parse_arguments(int argc, const char* const* argv, ParsedOptions& parsed) const {
  bool only_positionals = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (only_positionals || !argument.starts_with("--")) {
      if (!only_positionals && argument == "-h") {
        parsed.help_ = true;
      } else if (!only_positionals && argument.size() > 1 && argument.front() == '-') {
        return bad(std::string(argument), "is not an option of " + program_);
      } else {
        parsed.positionals_.emplace_back(argument);
      }
      continue;
    }
    if (argument == "--") {
      only_positionals = true;
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(2, equals == argument.npos ? equals : equals - 2);
    if (argument == "--help" || argument == "--version") {
      (name == "help" ? parsed.help_ : parsed.version_) = true;
      continue;
    }
    const std::string origin = "--" + std::string(name);
    const Option* option = find(name);
    if (option == nullptr) return bad(origin, "is not an option of " + program_);

    std::string_view text = "true";
    if (equals != argument.npos) {
      text = argument.substr(equals + 1);
    } else if (option->type != Type::Flag) {
      if (++i == argc) return bad(origin, "needs a value (" + option->placeholder + ")");
      text = argv[i];
    }
    ParsedOptions::Value& value = parsed.values_[option->name];
    value.was_set = true;
    if (Status stored = store(*option, origin, text, value); !stored) return stored;
  }
  return {};
}

Status OptionSet::parse_environment(const char* const* environment, ParsedOptions& parsed) const {
  for (const Option& option : options_) {
    ParsedOptions::Value& value = parsed.values_[option.name];
    if (value.was_set) continue;
    const std::string variable = variable_of(option.name);
    for (const char* const* entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
      std::string_view text = *entry;
      if (!text.starts_with(variable)) continue;
      text.remove_prefix(variable.size());
      if (text.size() < 2 || text.front() != '=') continue;
      text.remove_prefix(1);
      value.was_set = true;
      std::vector<std::string> words;
      if (option.type == Type::Repeated) {
        append_split(words, text, " \t\n");
      } else {
        words.emplace_back(text);
      }
      for (const std::string& word : words) {
        if (Status stored = store(option, variable, word, value); !stored) return stored;
      }
      break;
    }
    const bool is_list = option.type == Type::List || option.type == Type::Repeated;
    if (!value.was_set && !is_list) {
      // A default may be one that no user could say: "0" for a number that starts at 1.
      value.texts.assign(1, option.otherwise);
      if (option.type == Type::Number) value.number = try_number(option.otherwise).value_or(0);
      if (option.type == Type::Duration) {
        check(store(option, option.name, option.otherwise, value).has_value(), "a bad default");
      }
    }
  }
  return {};
}

Status OptionSet::check_positionals(const ParsedOptions& parsed) const {
  if (parsed.help_ || parsed.version_) return {};
  if (parsed.positionals_.size() > most_positionals_) {
    return bad(parsed.positionals_[most_positionals_], "is one argument too many for " + program_);
  }
  if (parsed.positionals_.size() < least_positionals_) {
    return bad(program_, "needs " + positional_placeholder_);
  }
  return {};
}

Result<ParsedOptions> OptionSet::parse(int argc, const char* const* argv,
                                       const char* const* environment) const {
  ParsedOptions parsed;
  if (Status good = parse_arguments(argc, argv, parsed); !good) return fail(good.error());
  if (Status good = parse_environment(environment, parsed); !good) return fail(good.error());
  if (Status good = check_positionals(parsed); !good) return fail(good.error());
  return parsed;
}

std::string OptionSet::usage() const {
  std::string out = "Usage: " + program_;
  if (!positional_placeholder_.empty()) out += " " + positional_placeholder_;
  out += " [options]\n" + summary_ + "\n\n";

  std::vector<std::string> left;
  std::size_t width = 0;
  for (const Option& option : options_) {
    left.push_back("--" + option.name + (option.placeholder.empty() ? "" : " ") +
                   option.placeholder);
    // Longer ones push their help to the right instead of everyone's.
    if (left.back().size() <= 34) width = std::max(width, left.back().size());
  }
  for (std::size_t i = 0; i < options_.size(); ++i) {
    const Option& option = options_[i];
    std::string line = "  " + left[i];
    if (left[i].size() < width) line.append(width - left[i].size(), ' ');
    line += "  " + option.help;
    if (!option.otherwise.empty() && option.type != Type::Flag) {
      line += " (" + option.otherwise + ")";
    }
    out += line + "\n";
  }
  out += "\nEvery option is also an environment variable: --state-dir is HANDFAST_STATE_DIR.\n";
  return out;
}

}  // namespace handfast
