#pragma once
// An expression of nginx over a request: literals and variables, "$host$request_uri",
// "${http_x_tenant}-$arg_user". Annotations have them where they say which requests belong together
// (upstream-hash-by) and what an auth server is told (auth-*).
//
// Here are the grammar and the names alone, so that the controller refuses what the proxy couldn't
// evaluate; upstream/request_values.h has the values. A variable runs over as many letters, digits
// and '_' as follow, or to the brace that closes it. There is no escape for '$', as in nginx.
//
// Pure; thread-safe. Errors: Reason::InvalidValue, with a sentence that names the variable.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::config {

enum class RequestVariable : std::uint8_t {
  Literal,
  RequestUri,  // as the client sent it, with the query
  Uri,         // the normalised path, without the query; also $document_uri
  Args,        // the query; also $query_string
  IsArgs,      // '?' if there is a query
  Host,        // lower case, without port
  ServerName,  // the host of the rule: "*.shop.example" for all that it matches
  RemoteAddr,  // also $binary_remote_addr: what it is written in makes no difference here
  Scheme,
  RequestMethod,
  Argument,  // $arg_user
  Field,     // $http_x_tenant: any header field of the request
  Cookie,    // $cookie_sid
  // The same for every request of a route ($namespace, $ingress_name, $service_name,
  // $service_port, $location_path, $proxy_upstream_name): it tells no two requests apart.
  Constant,           // to hash by only
  EscapedRequestUri,  // RequestUri, percent-encoded; as those below, in texts only
  RemoteUser,         // of Basic credentials, which nobody has checked
  RequestId,
};

struct RequestPart {
  RequestVariable variable = RequestVariable::Literal;
  // The literal; the name of the argument or cookie; of a field as in a request: "x-tenant".
  std::string text;
  friend bool operator==(const RequestPart&, const RequestPart&) = default;
};

struct RequestExpression {
  std::vector<RequestPart> parts;  // not empty
  friend bool operator==(const RequestExpression&, const RequestExpression&) = default;
};

// Longer ones are refused; ingress-nginx's own are a few words.
inline constexpr std::size_t kMaxRequestExpression = 1024;

// What it is for decides which variables there are.
enum class ExpressionUse : std::uint8_t { Hash, Text };

[[nodiscard]] Result<RequestExpression> parse_request_expression(
    std::string_view text, ExpressionUse use = ExpressionUse::Hash);

}  // namespace handfast::config
