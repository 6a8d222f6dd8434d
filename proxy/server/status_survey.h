#pragma once
// What is wrong with what a snapshot serves, as far as the proxy can know: routes that are closed,
// endpoints that can't be connected to, what has expired or soon will.
//
// One finding is about one route or host; findings with the same cause are one problem, however
// many routes have it, so that a CA that ends is told of once and not ten thousand times.
//
// Threading: one thread's, off the event loops. Borrows the snapshot and the handshakes.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/string_hash.h"
#include "proxy/route/snapshot.h"
#include "proxy/server/last_handshakes.h"

namespace handfast::server {

enum class Health : std::uint8_t { Ok, Warning, Bad };
[[nodiscard]] std::string_view to_string(Health health);

// From when on an end that comes is told of: the same as in charts/handfast/rules.
inline constexpr UnixSeconds kIdentityEndsSoon = 3 * 86'400;
inline constexpr UnixSeconds kFrontEndsSoon = 7 * 86'400;
inline constexpr UnixSeconds kCaEndsSoon = 14 * 86'400;
inline constexpr UnixSeconds kCrlEndsSoon = 3'600;

enum class FindingKind : std::uint8_t {
  Closed,            // the route answers an error, whatever its backends do
  NoEndpoints,       // no endpoint is ready
  Backend,           // the last attempts to connect failed
  Expired,           // of ours, of a CA, of a list
  FrontCertificate,  // clients are shown the default certificate
  EndsSoon,
  Unverified,
  Audited,
};
[[nodiscard]] std::string_view to_string(FindingKind kind);

struct Finding {
  Health health = Health::Ok;
  FindingKind kind = FindingKind::Closed;
  Reason reason = Reason::Ok;  // Ok: there is no word for it
  std::string object;          // "Ingress shop/orders", "Secret/shop/orders-tls"
  std::string detail;          // a sentence; may be empty
  UnixSeconds time = 0;        // of the handshake, or of the end; 0: none
  int status = 0;              // what requests are answered; 0: not known
};

[[nodiscard]] Health worst_of(const std::vector<Finding>& findings);

struct Problem {
  Finding finding;                 // the worst of them
  std::size_t routes = 0;          // that have it
  std::size_t hosts = 0;           // whose routes they are, or whose certificate it is
  std::vector<std::string> names;  // of some of these
};

class Survey {
 public:
  Survey(const route::Snapshot& snapshot, const std::vector<LastHandshake>& handshakes,
         UnixSeconds now);

  // One line of the status page: a host or a TCP port. Exactly one of the two is set.
  struct Row {
    std::string name;  // "shop.example", "" (any other host), "tcp:5432"
    const route::HostEntry* host = nullptr;
    const route::TcpEntry* port = nullptr;
    Health health = Health::Ok;
    std::size_t routes = 0;
    std::size_t bad_routes = 0;
  };
  // Worst first, then by name.
  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }
  // Worst first, then by the number of routes.
  [[nodiscard]] std::vector<Problem> problems() const;

  // Of the front of a row: its certificates, and whom its clients must be.
  [[nodiscard]] std::vector<Finding> front_findings(const Row& row) const;
  [[nodiscard]] std::vector<Finding> route_findings(const config::Route& route,
                                                    const tls::ClientPolicy* clients) const;

  using Handshakes = std::vector<const LastHandshake*>;
  // All that is known of a Service, whoever asked; empty: nothing.
  [[nodiscard]] const Handshakes& handshakes_of(std::string_view service) const;
  // Null: nobody has connected so far.
  [[nodiscard]] const LastHandshake* last(std::string_view service, const net::Address& address,
                                          std::string_view policy_key) const;

 private:
  struct OfService {
    Handshakes all;
    bool failed = false;
  };

  void look_at(Row row);
  void note(const Row& row, bool of_route, Finding finding);
  void add_backend(const route::ServiceEntry& service, std::string_view policy_key,
                   std::vector<Finding>& findings) const;
  void add_policy(const tls::UpstreamPolicy& policy, std::vector<Finding>& findings) const;
  template <class Policy>
  void add_trust(const Policy& policy, std::vector<Finding>& findings) const;
  void add_end(std::string_view what, std::string_view source, UnixSeconds end, UnixSeconds soon,
               Reason expired, std::vector<Finding>& findings) const;

  const route::Snapshot& snapshot_;
  const UnixSeconds now_;
  std::unordered_map<std::string_view, OfService, StringHash, std::equal_to<>> handshakes_;
  std::vector<Row> rows_;
  struct Noted {
    Problem problem;
    const void* last_row = nullptr;
  };
  std::map<std::string, Noted, std::less<>> problems_;
};

}  // namespace handfast::server
