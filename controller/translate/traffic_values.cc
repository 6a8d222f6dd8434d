#include "controller/translate/traffic_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "controller/translate/findings.h"
#include "controller/translate/names.h"
#include "proxy/config/words.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// All of `text`, and only digits.
template <class Number>
std::optional<Number> parse_digits(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return std::nullopt;
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  return number;
}

std::optional<unsigned> shift_of(char unit) {
  switch (unit) {
    case 'b':
    case 'B':
      return 0;
    case 'k':
    case 'K':
      return 10;
    case 'm':
    case 'M':
      return 20;
    case 'g':
    case 'G':
      return 30;
    default:
      return std::nullopt;
  }
}

bool apply_condition(std::string_view word, config::RetryPolicy& retry) {
  for (const auto& [member, name] : config::kRetryConditions) {
    if (word != name) continue;
    retry.*member = true;
    return true;
  }
  if (!word.starts_with(config::kStatusPrefix)) return false;
  const auto status = parse_digits<std::uint16_t>(word.substr(config::kStatusPrefix.size()));
  if (!status || word.size() != config::kStatusPrefix.size() + 3 ||
      std::ranges::find(config::kRetryStatuses, *status) == std::end(config::kRetryStatuses)) {
    return false;
  }
  retry.statuses.push_back(*status);
  return true;
}

}  // namespace

Result<std::uint32_t> parse_count(std::string_view value, std::uint32_t least, std::uint32_t most) {
  const auto count = parse_digits<std::uint32_t>(value);
  if (count && *count >= least && *count <= most) return *count;
  return fail(Reason::InvalidValue, quoted(value) + " is not a whole number from " +
                                        std::to_string(least) + " to " + std::to_string(most) +
                                        '.');
}

Result<std::uint32_t> parse_seconds(std::string_view value, std::uint32_t least) {
  return parse_count(value, least, kMostSeconds).map([](std::uint32_t seconds) {
    return seconds * 1000;
  });
}

Result<std::uint64_t> parse_size(std::string_view value) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::string_view digits = value;
  unsigned shift = 0;
  if (const auto unit = value.empty() ? std::nullopt : shift_of(value.back())) {
    shift = *unit;
    digits.remove_suffix(1);
  }
  const auto number = parse_digits<std::uint64_t>(digits);
  if (number && *number <= kMost >> shift) return *number << shift;
  return fail(Reason::InvalidValue, quoted(value) + " is not a size.");
}

Status parse_next_upstream(std::string_view value, config::RetryPolicy& retry) {
  config::RetryPolicy read = retry;
  read.error = read.timeout = read.invalid_header = read.non_idempotent = false;
  read.statuses.clear();
  bool off = false;
  std::size_t words = 0;
  for (std::string_view rest = value; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find_first_of(kBlanks));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (word.empty()) continue;
    ++words;
    if (word == "off") {
      off = true;
    } else if (!apply_condition(word, read)) {
      return fail(Reason::InvalidValue, quoted(word) + " is not a condition.");
    }
  }
  if (words == 0) return fail(Reason::InvalidValue, "It is empty.");
  if (off && words > 1) {
    return fail(Reason::InvalidValue, quoted(value) + " says off and names conditions.");
  }
  std::ranges::sort(read.statuses);
  const auto repeated = std::ranges::unique(read.statuses);
  read.statuses.erase(repeated.begin(), repeated.end());
  retry = std::move(read);
  return {};
}

Result<config::LoadBalance> parse_load_balance(std::string_view value) {
  if (value == "round_robin") return config::LoadBalance::RoundRobin;
  if (value == "least_request" || value == "ewma") return config::LoadBalance::LeastRequest;
  return fail(Reason::InvalidValue, quoted(value) + " is not a way to balance.");
}

std::optional<AppProtocol> find_app_protocol(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, AppProtocol>, 6> kKnown{
      {{"http", {.tls = false, .http2 = false}},
       {"https", {.tls = true, .http2 = true}},
       {"grpc", {.tls = std::nullopt, .http2 = true}},
       {"kubernetes.io/h2c", {.tls = false, .http2 = true}},
       {"kubernetes.io/ws", {.tls = false, .http2 = false}},
       {"kubernetes.io/wss", {.tls = true, .http2 = false}}}};
  const std::string lower = to_lower(word);
  for (const auto& [known, meaning] : kKnown) {
    if (lower == known) return meaning;
  }
  return std::nullopt;
}

}  // namespace handfast::translate
