#include "proxy/config/request_expression.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace handfast::config {
namespace {

constexpr std::pair<std::string_view, RequestVariable> kVariables[] = {
    {"request_uri", RequestVariable::RequestUri},
    {"uri", RequestVariable::Uri},
    {"document_uri", RequestVariable::Uri},
    {"args", RequestVariable::Args},
    {"query_string", RequestVariable::Args},
    {"is_args", RequestVariable::IsArgs},
    {"host", RequestVariable::Host},
    {"server_name", RequestVariable::ServerName},
    {"remote_addr", RequestVariable::RemoteAddr},
    {"binary_remote_addr", RequestVariable::RemoteAddr},
    {"scheme", RequestVariable::Scheme},
    {"request_method", RequestVariable::RequestMethod},
    {"namespace", RequestVariable::Constant},
    {"ingress_name", RequestVariable::Constant},
    {"service_name", RequestVariable::Constant},
    {"service_port", RequestVariable::Constant},
    {"location_path", RequestVariable::Constant},
    {"proxy_upstream_name", RequestVariable::Constant},
};

constexpr std::pair<std::string_view, RequestVariable> kTextVariables[] = {
    {"escaped_request_uri", RequestVariable::EscapedRequestUri},
    {"remote_user", RequestVariable::RemoteUser},
    {"request_id", RequestVariable::RequestId},
    {"req_id", RequestVariable::RequestId},
    {"pass_access_scheme", RequestVariable::Scheme},
};

constexpr std::pair<std::string_view, RequestVariable> kFamilies[] = {
    {"arg_", RequestVariable::Argument},
    {"http_", RequestVariable::Field},
    {"cookie_", RequestVariable::Cookie},
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
std::optional<RequestPart> find_variable(std::string_view spelled, ExpressionUse use) {
  const std::string name = lower(spelled);
  for (const auto& [known, variable] : kVariables) {
    if (use == ExpressionUse::Text && variable == RequestVariable::Constant) continue;
    if (name == known) return RequestPart{variable, {}};
  }
  for (const auto& [known, variable] : kTextVariables) {
    if (use == ExpressionUse::Text && name == known) return RequestPart{variable, {}};
  }
  for (const auto& [prefix, variable] : kFamilies) {
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    std::string rest = name.substr(prefix.size());
    if (variable == RequestVariable::Field) std::ranges::replace(rest, '_', '-');
    return RequestPart{variable, std::move(rest)};
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

struct Words {
  std::string_view what;
  std::string_view list;
};

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

Words words_of(ExpressionUse use) {
  if (use == ExpressionUse::Hash) {
    return {"an expression to hash by",
            "docs/load-balancing.md lists those that requests can be hashed by"};
  }
  return {"it", "docs/external-auth.md lists those that it may hold"};
}

}  // namespace

Result<RequestExpression> parse_request_expression(std::string_view text, ExpressionUse use) {
  const Words words = words_of(use);
  if (text.empty()) {
    return fail(Reason::InvalidValue, std::string(words.what) + " must not be empty");
  }
  if (text.size() > kMaxRequestExpression) {
    return fail(Reason::InvalidValue, std::string(words.what) + " has at most " +
                                          std::to_string(kMaxRequestExpression) + " characters");
  }
  // A NUL byte, which no text of a shard may hold, would take its whole host with it.
  if (std::ranges::any_of(text, is_control)) {
    return fail(Reason::InvalidValue,
                std::string(words.what) + " must not hold control characters");
  }
  RequestExpression expression;
  while (!text.empty()) {
    const std::string_view literal = text.substr(0, text.find('$'));
    if (!literal.empty()) {
      expression.parts.push_back({RequestVariable::Literal, std::string(literal)});
      text.remove_prefix(literal.size());
      continue;
    }
    text.remove_prefix(1);
    const auto name = take_name(text);
    if (!name) return fail(name.error());
    auto part = find_variable(*name, use);
    if (!part) {
      return fail(Reason::InvalidValue, "the variable $" + std::string(*name) +
                                            " isn't known here; " + std::string(words.list));
    }
    expression.parts.push_back(std::move(*part));
  }
  return expression;
}

}  // namespace handfast::config
