#include "proxy/server/status_query.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "proxy/http/chars.h"

namespace handfast::server {
namespace {

constexpr std::size_t kMostOffset = 1'000'000'000;

// As forms are encoded: '+' is a blank. Nothing: a broken escape.
std::optional<std::string> decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      if (text.size() - i < 3) return std::nullopt;
      const unsigned high = http::hex_value(text[i + 1]);
      const unsigned low = http::hex_value(text[i + 2]);
      if (high == http::kNotHex || low == http::kNotHex) return std::nullopt;
      decoded += static_cast<char>(high << 4U | low);
      i += 2;
    }
  }
  return decoded;
}

std::optional<std::size_t> number_of(const std::string& text, std::size_t least, std::size_t most) {
  std::size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stopped != end || number < least || number > most) {
    return std::nullopt;
  }
  return number;
}

// False: no value of this parameter, or no parameter.
bool set(StatusQuery& query, std::string_view name, std::string value) {
  if (name == "q") {
    if (value.size() > StatusQuery::kMostText) return false;
    std::ranges::transform(value, value.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    query.text = std::move(value);
    return true;
  }
  if (name == "show") {
    query.problems_only = value == "problems";
    return value == "problems" || value == "all";
  }
  if (name == "offset") {
    const auto number = number_of(value, 0, kMostOffset);
    query.offset = number.value_or(0);
    return number.has_value();
  }
  if (name == "limit") {
    const auto number = number_of(value, 1, StatusQuery::kMostHosts);
    query.limit = number.value_or(1);
    return number.has_value();
  }
  return false;
}

}  // namespace

Result<StatusQuery> parse_status_query(std::string_view query) {
  StatusQuery found;
  std::string seen = "&";
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string name(pair.substr(0, equals));
    auto value = decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!value || !set(found, name, std::move(*value)) ||
        seen.find("&" + name + "&") != std::string::npos) {
      return fail(Reason::InvalidValue,
                  "the query takes q=TEXT of at most " + std::to_string(StatusQuery::kMostText) +
                      " bytes, show=all or problems, offset=N, and limit=N of 1 to " +
                      std::to_string(StatusQuery::kMostHosts) + ", each once");
    }
    seen.append(name).append("&");
  }
  return found;
}

}  // namespace handfast::server
