#include "proxy/upstream/hash_key.h"

#include <algorithm>
#include <cstddef>

#include "proxy/upstream/mix.h"

namespace handfast::upstream {
namespace {

using config::HashPart;
using config::HashVariable;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// `lower_case` is in lower case already.
bool is_name(std::string_view text, std::string_view lower_case) {
  return std::ranges::equal(text, lower_case, [](char a, char b) { return lower(a) == b; });
}

// Takes what stands before `separator` off the front of `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return taken;
}

// The value of the first "name=value" among those that `separator` parts; empty: there is none.
std::string_view find_pair(std::string_view text, char separator, std::string_view name) {
  while (!text.empty()) {
    std::string_view value = take_until(text, separator);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (value.size() > name.size() && value[name.size()] == '=' &&
        is_name(value.substr(0, name.size()), name)) {
      return value.substr(name.size() + 1);
    }
  }
  return {};
}

std::string_view find_cookie(const http::RequestHead& head, std::string_view name) {
  for (const http::Header& header : head.headers.items()) {
    if (!is_name(header.name, "cookie")) continue;
    if (const std::string_view value = find_pair(header.value, ';', name); !value.empty()) {
      return value;
    }
  }
  return {};
}

// These add a value and say whether there was one.

bool add_text(ByteHash& hash, std::string_view text) {
  hash.add(text);
  return !text.empty();
}

bool add_host(ByteHash& hash, std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  for (const char c : host) hash.add(lower(c));
  return !host.empty();
}

bool add_fields(ByteHash& hash, const http::RequestHead& head, std::string_view name) {
  // Of an absolute target or of HTTP/2 the authority is what a Host field would say.
  if (name == "host") return add_text(hash, head.authority);
  bool any = false;
  for (const http::Header& header : head.headers.items()) {
    if (!is_name(header.name, name)) continue;
    if (any) hash.add(name == "cookie" ? "; " : ", ");
    hash.add(header.value);
    any = any || !header.value.empty();
  }
  return any;
}

bool add_part(ByteHash& hash, const HashPart& part, const HashFacts& facts) {
  const http::RequestHead& head = facts.head;
  switch (part.variable) {
    case HashVariable::Literal:
      hash.add(part.text);
      return false;
    case HashVariable::Constant:
      return false;
    case HashVariable::RequestUri:
      return add_text(hash, head.target);
    case HashVariable::Uri:
      return add_text(hash, facts.path);
    case HashVariable::Args:
      return add_text(hash, head.query);
    case HashVariable::IsArgs:
      return add_text(hash, head.query.empty() ? "" : "?");
    case HashVariable::Host:
      return add_host(hash, head.host);
    case HashVariable::ServerName:
      return add_text(hash, facts.server_name);
    case HashVariable::RemoteAddr:
      return add_text(hash, facts.client);
    case HashVariable::Scheme:
      return add_text(hash, facts.https ? "https" : "http");
    case HashVariable::RequestMethod:
      return add_text(hash, head.method);
    case HashVariable::Argument:
      return add_text(hash, find_pair(head.query, '&', part.text));
    case HashVariable::Field:
      return add_fields(hash, head, part.text);
    case HashVariable::Cookie:
      return add_text(hash, find_cookie(head, part.text));
  }
  return false;
}

bool is_same_for_all(const HashPart& part) {
  return part.variable == HashVariable::Literal || part.variable == HashVariable::Constant;
}

}  // namespace

std::uint64_t hash_key(const config::HashExpression& expression, const HashFacts& facts) {
  ByteHash hash;
  bool said_something = false;
  for (const HashPart& part : expression.parts) {
    said_something = add_part(hash, part, facts) || said_something;
  }
  // An expression without variables does mean one endpoint for everything.
  if (!said_something && !std::ranges::all_of(expression.parts, is_same_for_all)) return kNoHash;
  const std::uint64_t value = hash.finish();
  return value == kNoHash ? 1 : value;
}

}  // namespace handfast::upstream
