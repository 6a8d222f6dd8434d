#pragma once
// What an Ingress lays claim to, as translate gives it out: of each host its paths, its default
// backend, and whether its TLS passes through.
//
// Two Ingresses with the same claim are in each other's way: translate serves the one that comes
// first, and admission refuses the one that comes later. Pure; thread-safe.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/translate/options.h"

namespace handfast::admission {

enum class ClaimKind : std::uint8_t {
  Exact,
  Prefix,   // ImplementationSpecific too
  Default,  // what the paths of the host leave over
  Host,     // how its TLS is treated; many may claim that, as long as it passes through for none
};

struct Claim {
  ClaimKind kind = ClaimKind::Prefix;
  std::string host;  // lower case; empty: every host
  std::string path;  // of Exact and Prefix, as the proxy matches it
  std::string field;
  std::string service;  // what it leads to: "orders:443"; empty: nothing
  bool passes = false;  // of Host: its TLS passes through
  bool alone = false;   // of Default: the Ingress has nothing else

  // The same text for the same claim.
  [[nodiscard]] std::string key() const;
};

// What can't be claimed, since no request can match it, is left out. In the order in which they
// stand in the Ingress.
[[nodiscard]] std::vector<Claim> claims_of(const objects::Ingress& ingress,
                                           const translate::Options& options);

}  // namespace handfast::admission
