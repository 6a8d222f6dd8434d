#pragma once
// The values of the variables of a config::RequestExpression, handed to whoever takes bytes.
//
// They are those of nginx's variables: names of arguments, fields and cookies in any case, the
// first argument or cookie of a name, all fields of a name joined with ", " (cookies "; "), nothing
// decoded. They are whatever the client sent, X-Forwarded-For too.
//
// A Sink has add(char) and add(std::string_view). Pure: allocates nothing; thread-safe.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/config/request_expression.h"
#include "proxy/http/chars.h"
#include "proxy/http/message.h"

namespace handfast::upstream {

// Views that live as long as the call.
struct RequestFacts {
  const http::RequestHead& head;
  std::string_view path;         // normalised
  std::string_view server_name;  // of the VirtualHost
  std::string_view client;       // its address, without port
  bool https = false;            // the client used it, for all that we know
  std::string_view request_id = {};
};

// The value of the first "name=value" among those that `separator` parts, the name in any case;
// empty: there is none. `name` is in lower case.
[[nodiscard]] std::string_view find_pair(std::string_view text, char separator,
                                         std::string_view name);
[[nodiscard]] std::string_view find_cookie(const http::RequestHead& head, std::string_view name);
// The base64 of "user:password" that the client sent; empty: it sent none.
[[nodiscard]] std::string_view find_basic_credentials(const http::RequestHead& head);

// The number that a digit of base64 stands for; kNotBase64: it is none.
inline constexpr std::uint32_t kNotBase64 = 64;
[[nodiscard]] std::uint32_t base64_value(char c);

// "%20" for a blank.
template <class Sink>
void add_percent(Sink& sink, char c) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  sink.add('%');
  sink.add(kHex[byte >> 4]);
  sink.add(kHex[byte & 15]);
}

// Percent-encodes all but letters, digits and "-._~".
template <class Sink>
class PercentEncoder {
 public:
  explicit PercentEncoder(Sink& sink) : sink_(sink) {}
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add(char c) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || http::is_digit(c) ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    plain ? sink_.add(c) : add_percent(sink_, c);
  }

 private:
  Sink& sink_;
};

// Adds the value of one part and says whether there was one; a literal is none.
template <class Sink>
class RequestValues {
 public:
  RequestValues(Sink& sink, const RequestFacts& facts) : sink_(sink), facts_(facts) {}

  bool add(const config::RequestPart& part) {
    using config::RequestVariable;
    const http::RequestHead& head = facts_.head;
    switch (part.variable) {
      case RequestVariable::Literal:
        sink_.add(std::string_view(part.text));
        return false;
      case RequestVariable::Constant:
        return false;
      case RequestVariable::RequestUri:
        return add_text(head.target);
      case RequestVariable::Uri:
        return add_text(facts_.path);
      case RequestVariable::Args:
        return add_text(head.query);
      case RequestVariable::IsArgs:
        return add_text(head.query.empty() ? "" : "?");
      case RequestVariable::Host:
        return add_host();
      case RequestVariable::ServerName:
        return add_text(facts_.server_name);
      case RequestVariable::RemoteAddr:
        return add_text(facts_.client);
      case RequestVariable::Scheme:
        return add_text(facts_.https ? "https" : "http");
      case RequestVariable::RequestMethod:
        return add_text(head.method);
      case RequestVariable::Argument:
        return add_text(find_pair(head.query, '&', part.text));
      case RequestVariable::Field:
        return add_fields(part.text);
      case RequestVariable::Cookie:
        return add_text(find_cookie(head, part.text));
      case RequestVariable::EscapedRequestUri:
        PercentEncoder<Sink>(sink_).add(head.target);
        return !head.target.empty();
      case RequestVariable::RemoteUser:
        return add_user();
      case RequestVariable::RequestId:
        return add_text(facts_.request_id);
    }
    return false;
  }

 private:
  bool add_text(std::string_view text) {
    sink_.add(text);
    return !text.empty();
  }

  bool add_host() {
    std::string_view host = facts_.head.host;
    if (host.ends_with('.')) host.remove_suffix(1);
    for (const char c : host) sink_.add(http::to_lower(c));
    return !host.empty();
  }

  bool add_fields(std::string_view name) {
    // Of an absolute target or of HTTP/2 the authority is what a Host field would say.
    if (name == "host") return add_text(facts_.head.authority);
    bool any = false;
    for (const http::Header& header : facts_.head.headers.items()) {
      if (!http::equal_ignore_case(header.name, name)) continue;
      if (any) sink_.add(std::string_view(name == "cookie" ? "; " : ", "));
      sink_.add(header.value);
      any = any || !header.value.empty();
    }
    return any;
  }

  // Up to the colon; what can't stand in a field ends it.
  bool add_user() {
    std::uint32_t bits = 0;
    int count = 0;
    bool any = false;
    for (const char c : find_basic_credentials(facts_.head)) {
      const std::uint32_t value = base64_value(c);
      if (value == kNotBase64) return any;
      bits = (bits << 6) | value;
      count += 6;
      if (count < 8) continue;
      count -= 8;
      const auto byte = static_cast<unsigned char>(bits >> count);
      if (byte == ':' || byte < 0x20 || byte == 0x7f) return any;
      sink_.add(static_cast<char>(byte));
      any = true;
    }
    return any;
  }

  Sink& sink_;
  const RequestFacts& facts_;
};

}  // namespace handfast::upstream
