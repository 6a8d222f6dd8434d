#pragma once
// What DNS says about a name. A value.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "proxy/net/address.h"

namespace handfast::upstream {

struct NameAnswer {
  enum class Kind : std::uint8_t {
    Found,
    NoSuchName,  // NXDOMAIN, or a name without addresses
    Failed,      // SERVFAIL, REFUSED, no answer in time: nothing is known
  };
  Kind kind = Kind::Failed;
  std::vector<net::Address> addresses{};  // of both families, without ports
  std::chrono::seconds ttl{0};            // of what ends first on the way to them
  std::string detail{};                   // why there are none
};

// Asks for the addresses of a name; `answered` is called once, on any thread, or from within.
using NameQuery =
    std::function<void(const std::string& name, std::function<void(NameAnswer)> answered)>;

}  // namespace handfast::upstream
