#pragma once
// The number that says which endpoint of a consistent hash gets a request (upstream-hash-by).
//
// The values are those of nginx's variables, strung together: names of arguments, fields and
// cookies in any case, the first argument or cookie of a name, all fields of a name joined with
// ", " (cookies "; "), nothing decoded. They are whatever the client sent, X-Forwarded-For too: a
// client may choose its endpoint, and gains nothing by it.
//
// A request for which every variable is empty (no such cookie yet) has no key. nginx sends all of
// those to one endpoint; here they take turns over all.
//
// Pure: allocates nothing; thread-safe.

#include <cstdint>
#include <string_view>

#include "proxy/config/hash_expression.h"
#include "proxy/http/message.h"

namespace handfast::upstream {

// Views that live as long as the call.
struct HashFacts {
  const http::RequestHead& head;
  std::string_view path;         // normalised
  std::string_view server_name;  // of the VirtualHost
  std::string_view client;       // its address, without port
  bool https = false;            // the client used it, for all that we know
};

inline constexpr std::uint64_t kNoHash = 0;

[[nodiscard]] std::uint64_t hash_key(const config::HashExpression& expression,
                                     const HashFacts& facts);

}  // namespace handfast::upstream
