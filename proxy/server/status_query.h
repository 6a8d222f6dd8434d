#pragma once
// What a client of the status page wants to see: the query of `/status.json`.
//
//   q=TEXT       hosts with it in their name, or in an Ingress, a Service, a TLS policy or a path
//   of
//                theirs; upper and lower case are the same
//   show=all     or `problems`: hosts with a warning or worse
//   offset=N     how many to pass over; limit=N: how many to tell of at most
//
// Strict: a parameter that is unknown, given twice or no number is an error.

#include <cstddef>
#include <string>
#include <string_view>

#include "proxy/base/result.h"

namespace handfast::server {

struct StatusQuery {
  static constexpr std::size_t kMostText = 256;
  static constexpr std::size_t kMostHosts = 500;

  std::string text{};  // lower case; empty: any
  bool problems_only = false;
  std::size_t offset = 0;
  std::size_t limit = 50;  // 1 to kMostHosts
};

// `query`: without '?', as it came.
[[nodiscard]] Result<StatusQuery> parse_status_query(std::string_view query);

}  // namespace handfast::server
