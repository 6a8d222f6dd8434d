#pragma once
// What a route asks its auth server, in the form that the workers use: expressions read, and a name
// for the whole of it.
//
// Immutable; any number of threads.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/config/model.h"
#include "proxy/config/request_expression.h"

namespace handfast::route {

struct AuthRules {
  // Without parts where there is none.
  config::RequestExpression target;
  config::RequestExpression signin;
  config::RequestExpression request_redirect;
  config::RequestExpression cache_key;
  std::vector<std::pair<std::string, config::RequestExpression>> set_headers;
  // Fields of a client that it isn't asked with: those that are set, and conditions, which would be
  // about another answer.
  std::vector<std::string> withheld;
  // Differs wherever host, route or settings differ: answers are kept under it.
  std::string fingerprint;
};

// Null: the route asks nobody. Precondition: config::validate() has read it.
[[nodiscard]] std::unique_ptr<const AuthRules> make_auth_rules(const std::string& host,
                                                               const config::Route& route);

}  // namespace handfast::route
