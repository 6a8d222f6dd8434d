#pragma once
// The status as JSON: what is wrong, and a page of hosts with their routes, Services, endpoints and
// TLS identities. docs/status-page.md has its fields.
//
// Texts are of objects, certificates and peers, so anything may stand in them: they are escaped as
// JSON demands, and whoever shows them escapes them again. No key is reachable from here: of an
// identity its CertificateInfo is read, of a Secret its name.
//
// The size of an answer is bounded: hosts are told of until it has kEnoughStatus bytes, the routes
// of a host as well; of a host with many routes kMostRoutes, and of a Service kMostEndpoints
// endpoints, those that fail first.
//
// Threading: pure; off the event loops, since it looks at all hosts (30 ms for 10,000).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/route/snapshot.h"
#include "proxy/server/last_handshakes.h"
#include "proxy/server/loader.h"
#include "proxy/server/status_query.h"

namespace handfast::server {

// What isn't in the snapshot.
struct StatusFacts {
  std::string name{};  // of the pod or the machine
  UnixSeconds now = 0;
  UnixSeconds start = 0;
  bool ready = false;
  bool draining = false;
  std::uint64_t workers = 0;
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;  // under way
  std::uint64_t upstream_connections = 0;
  std::uint64_t loads_accepted = 0;
  std::uint64_t loads_rejected = 0;
  UnixSeconds last_load = 0;  // that was accepted; 0: none
  std::optional<RefusedLoad> refused{};
};

inline constexpr std::size_t kEnoughStatus = 1 << 20;
inline constexpr std::size_t kMostRoutes = 200;
inline constexpr std::size_t kMostEndpoints = 20;
inline constexpr std::size_t kMostProblems = 50;

// `snapshot` may be null: nothing is served yet.
[[nodiscard]] std::string status_json(const StatusFacts& facts, const route::Snapshot* snapshot,
                                      const std::vector<LastHandshake>& handshakes,
                                      const StatusQuery& query);

}  // namespace handfast::server
