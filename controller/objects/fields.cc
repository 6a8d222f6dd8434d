#include "controller/objects/fields.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace handfast::objects {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <std::size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& words) {
  return std::ranges::find(words, text) != words.end();
}

bool is_boolean(std::string_view text) {
  static constexpr std::array<std::string_view, 22> kWords{
      "y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",  "true",  "True",  "TRUE",
      "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF", "false", "False", "FALSE"};
  return is_one_of(text, kWords);
}

// [-+]?(0x|0o|0b)[0-9a-f]+; the caller has taken '_' out.
bool is_based_integer(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() < 3 || text[0] != '0') return false;
  const auto within = [&](std::string_view digits) {
    return text.find_first_not_of(digits, 2) == std::string_view::npos;
  };
  switch (text[1]) {
    case 'x':
    case 'X':
      return within("0123456789abcdefABCDEF");
    case 'o':
    case 'O':
      return within("01234567");
    case 'b':
    case 'B':
      return within("01");
    default:
      return false;
  }
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, the pattern of go-yaml v2.
bool is_decimal(std::string_view text) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - begin;
  };
  const auto sign = [&] {
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  };

  sign();
  const std::size_t whole = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0 && whole == 0) return false;
  } else if (whole == 0) {
    return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    sign();
    if (digits() == 0) return false;
  }
  return at == text.size();
}

bool is_number(std::string_view text) {
  if (text.empty()) return false;
  static constexpr std::array<std::string_view, 12> kWords{".nan",  ".NaN",  ".NAN",  ".inf",
                                                           ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                           "+.INF", "-.inf", "-.Inf", "-.INF"};
  if (is_one_of(text, kWords)) return true;
  if (!is_digit(text[0]) && text[0] != '-' && text[0] != '+' && text[0] != '.') return false;
  if (text.find('_') == std::string_view::npos) return is_based_integer(text) || is_decimal(text);
  std::string plain(text);
  std::erase(plain, '_');
  return is_based_integer(plain) || is_decimal(plain);
}

bool is_null_word(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kWords{"", "~", "null", "Null", "NULL"};
  return is_one_of(text, kWords);
}

}  // namespace

Place Place::member(std::string_view name) const& {
  const bool is_map = value_ != nullptr && value_->kind == Value::Kind::Map;
  return {is_map ? value_->find(name) : nullptr, this, name, kNoIndex};
}

Place Place::item(std::size_t index) const& {
  const bool is_there = value_ != nullptr && index < value_->list.size();
  return {is_there ? &value_->list[index] : nullptr, this, {}, index};
}

std::string Place::path() const {
  if (around_ == nullptr) return {};
  std::string text = around_->path();
  const auto is_plain = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (index_ != kNoIndex) {
    text.append("[").append(std::to_string(index_)).append("]");
  } else if (!name_.empty() && std::ranges::all_of(name_, is_plain)) {
    if (!text.empty()) text += '.';
    text += name_;
  } else {
    text.append("[").append(name_.substr(0, 320)).append("]");
  }
  return text;
}

int Place::line() const {
  if (value_ != nullptr && value_->line > 0) return value_->line;
  return around_ == nullptr ? 0 : around_->line();
}

ScalarType scalar_type(const Value& scalar) {
  if (scalar.quoted) return ScalarType::String;
  if (is_null_word(scalar.scalar)) return ScalarType::Null;
  if (is_boolean(scalar.scalar)) return ScalarType::Boolean;
  if (is_number(scalar.scalar)) return ScalarType::Number;
  return ScalarType::String;
}

std::optional<std::string> why_not_text(const Value& value) {
  switch (value.kind) {
    case Value::Kind::List:
      return "is a list, not a string";
    case Value::Kind::Map:
      return "is a map, not a string";
    case Value::Kind::Null:
      return "is null, not a string: write \"\" or leave it out";
    case Value::Kind::Scalar:
      break;
  }
  const auto quote_it = [&](std::string_view type) {
    return std::string("is a ")
               .append(type)
               .append(" for Kubernetes (")
               .append(value.scalar.substr(0, 32)) +
           "), not a string: quote it";
  };
  switch (scalar_type(value)) {
    case ScalarType::String:
      return std::nullopt;
    case ScalarType::Boolean:
      return quote_it("boolean");
    case ScalarType::Number:
      return quote_it("number");
    case ScalarType::Null:
      return quote_it("null");
  }
  return std::nullopt;
}

void Fields::refuse(const Place& place, std::string message, Reason reason) {
  if (failure_) return;
  failure_ = Failure{place.path(), place.line(), Error{reason, std::move(message)}};
}

void Fields::absorb(const Fields& other) {
  if (!failure_) failure_ = other.failure_;
}

std::string Fields::text(const Place& place) {
  if (place.absent()) return {};
  if (auto why = why_not_text(*place.value())) {
    refuse(place, std::move(*why));
    return {};
  }
  return place.value()->scalar;
}

std::string Fields::required_text(const Place& place) {
  std::string found = text(place);
  if (found.empty()) refuse(place, "is missing");
  return found;
}

bool Fields::boolean(const Place& place, bool if_absent) {
  if (place.absent()) return if_absent;
  const Value& value = *place.value();
  if (value.kind != Value::Kind::Scalar || scalar_type(value) != ScalarType::Boolean) {
    refuse(place, "must be true or false, without quotes");
    return if_absent;
  }
  return std::string_view("yYtT").find(value.scalar[0]) != std::string_view::npos ||
         value.scalar == "on" || value.scalar == "On" || value.scalar == "ON";
}

std::uint16_t Fields::port(const Place& place) {
  if (place.absent()) return 0;
  const Value& value = *place.value();
  std::uint16_t number = 0;
  const char* const end = value.scalar.data() + value.scalar.size();
  const auto read = std::from_chars(value.scalar.data(), end, number);
  const bool is_decimal_number = value.kind == Value::Kind::Scalar && !value.quoted &&
                                 read.ec == std::errc{} && read.ptr == end &&
                                 !value.scalar.starts_with('0');
  if (is_decimal_number && number > 0) return number;
  refuse(place, value.quoted ? "must be a port number without quotes"
                             : "must be a port number from 1 to 65535");
  return 0;
}

std::uint32_t Fields::number(const Place& place, std::uint32_t least, std::uint32_t most,
                             std::uint32_t if_absent) {
  if (place.absent()) return if_absent;
  const Value& value = *place.value();
  std::uint32_t number = 0;
  const char* const end = value.scalar.data() + value.scalar.size();
  const auto read = std::from_chars(value.scalar.data(), end, number);
  const bool is_decimal_number = value.kind == Value::Kind::Scalar && !value.quoted &&
                                 read.ec == std::errc{} && read.ptr == end &&
                                 (value.scalar.size() == 1 || !value.scalar.starts_with('0'));
  if (is_decimal_number && number >= least && number <= most) return number;
  refuse(place, "must be a number from " + std::to_string(least) + " to " + std::to_string(most) +
                    ", without quotes");
  return if_absent;
}

std::size_t Fields::word(const Place& place, std::initializer_list<std::string_view> words,
                         std::size_t if_absent) {
  if (place.absent()) return if_absent;
  const std::string found = text(place);
  const auto* const at = std::ranges::find(words, std::string_view(found));
  if (at != words.end()) return static_cast<std::size_t>(at - words.begin());
  std::string choices;
  for (const std::string_view one : words) choices.append(choices.empty() ? "" : ", ").append(one);
  refuse(place, (words.size() == 1 ? "must be " : "must be one of ") + choices);
  return if_absent;
}

bool Fields::only(const Place& place, std::initializer_list<std::string_view> members) {
  if (!is_map(place)) return false;
  for (const auto& [name, value] : place.value()->map) {
    if (std::ranges::find(members, std::string_view(name)) == members.end()) {
      refuse(place.member(name), "is no field that is known here");
      return false;
    }
  }
  return true;
}

void Fields::only_written(const Place& place, std::initializer_list<std::string_view> members) {
  if (is_written_) (void)only(place, members);
}

bool Fields::is_map(const Place& place) {
  if (place.absent()) return false;
  if (place.value()->kind == Value::Kind::Map) return true;
  refuse(place, "must be a map");
  return false;
}

std::size_t Fields::items(const Place& place) {
  if (place.absent()) return 0;
  if (place.value()->kind == Value::Kind::List) return place.value()->list.size();
  refuse(place, "must be a list");
  return 0;
}

TextMap Fields::texts(const Place& place) {
  std::vector<TextMap::value_type> found;
  if (!is_map(place)) return {};
  for (const auto& [name, value] : place.value()->map) {
    if (auto why = why_not_text(value)) {
      refuse(place.member(name), std::move(*why));
      break;
    }
    found.emplace_back(name, value.scalar);
  }
  return TextMap(std::move(found));
}

}  // namespace handfast::objects
