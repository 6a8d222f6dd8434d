#pragma once
// How an address to listen on is written: "127.0.0.1:10254", ":10254" or "[::1]:10254".
//
// Threading: any thread.

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"

namespace handfast::serving {

struct ListenAddress {
  std::string host;  // an IPv6 address without its brackets; empty: all, of both families
  std::string port;
};

// Nothing for what is none. Port 0 is none: nobody could tell which one it became.
[[nodiscard]] std::optional<ListenAddress> try_listen_address(std::string_view text);

// A socket that listens there and doesn't block; Io if that isn't possible.
[[nodiscard]] Result<UniqueFd> listen_on(const ListenAddress& address);

}  // namespace handfast::serving
