#include "proxy/config/hash_expression.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace handfast::config {
namespace {

constexpr std::pair<std::string_view, HashVariable> kVariables[] = {
    {"request_uri", HashVariable::RequestUri},
    {"uri", HashVariable::Uri},
    {"document_uri", HashVariable::Uri},
    {"args", HashVariable::Args},
    {"query_string", HashVariable::Args},
    {"is_args", HashVariable::IsArgs},
    {"host", HashVariable::Host},
    {"server_name", HashVariable::ServerName},
    {"remote_addr", HashVariable::RemoteAddr},
    {"binary_remote_addr", HashVariable::RemoteAddr},
    {"scheme", HashVariable::Scheme},
    {"request_method", HashVariable::RequestMethod},
    {"namespace", HashVariable::Constant},
    {"ingress_name", HashVariable::Constant},
    {"service_name", HashVariable::Constant},
    {"service_port", HashVariable::Constant},
    {"location_path", HashVariable::Constant},
    {"proxy_upstream_name", HashVariable::Constant},
};

constexpr std::pair<std::string_view, HashVariable> kFamilies[] = {
    {"arg_", HashVariable::Argument},
    {"http_", HashVariable::Field},
    {"cookie_", HashVariable::Cookie},
};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string lower(std::string_view text) {
  std::string made(text);
  for (char& c : made) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return made;
}

// Names of variables are the same in any case, as nginx has them.
std::optional<HashPart> find_variable(std::string_view spelled) {
  const std::string name = lower(spelled);
  for (const auto& [known, variable] : kVariables) {
    if (name == known) return HashPart{variable, {}};
  }
  for (const auto& [prefix, variable] : kFamilies) {
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    std::string rest = name.substr(prefix.size());
    if (variable == HashVariable::Field) std::ranges::replace(rest, '_', '-');
    return HashPart{variable, std::move(rest)};
  }
  return std::nullopt;
}

// Takes the name of a variable off the front of `text`, which stands behind a '$'.
Result<std::string_view> take_name(std::string_view& text) {
  const bool braces = text.starts_with('{');
  if (braces) text.remove_prefix(1);
  const auto end = std::ranges::find_if_not(text, is_name_character);
  const auto length = static_cast<std::size_t>(end - text.begin());
  const std::string_view name = text.substr(0, length);
  text.remove_prefix(length);
  if (braces && !text.starts_with('}')) {
    return fail(Reason::InvalidValue,
                "'${" + std::string(name) + "' isn't a variable: a '}' must close its name");
  }
  if (braces) text.remove_prefix(1);
  if (name.empty()) {
    return fail(Reason::InvalidValue, "a '$' must be followed by the name of a variable");
  }
  return name;
}

}  // namespace

Result<HashExpression> parse_hash_expression(std::string_view text) {
  if (text.empty()) return fail(Reason::InvalidValue, "an expression to hash by must not be empty");
  if (text.size() > kMaxHashExpression) {
    return fail(Reason::InvalidValue, "an expression to hash by has at most " +
                                          std::to_string(kMaxHashExpression) + " characters");
  }
  HashExpression expression;
  while (!text.empty()) {
    const std::string_view literal = text.substr(0, text.find('$'));
    if (!literal.empty()) {
      expression.parts.push_back({HashVariable::Literal, std::string(literal)});
      text.remove_prefix(literal.size());
      continue;
    }
    text.remove_prefix(1);
    const auto name = take_name(text);
    if (!name) return fail(name.error());
    auto part = find_variable(*name);
    if (!part) {
      return fail(Reason::InvalidValue, "the variable $" + std::string(*name) +
                                            " isn't known here; docs/load-balancing.md lists those "
                                            "that requests can be hashed by");
    }
    expression.parts.push_back(std::move(*part));
  }
  return expression;
}

}  // namespace handfast::config
