#pragma once
// The process-wide metrics (prometheus-cpp), and what is told of the snapshot that is served.
//
// Threading: any thread; prometheus-cpp locks. Nothing here is on the path of a request; handshakes
// (a millisecond each) may count themselves.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/route/snapshot.h"
#include "proxy/session/record.h"
#include "proxy/session/session.h"
#include "proxy/upstream/pool.h"

namespace handfast::server {

class ProcessMetrics {
 public:
  ProcessMetrics();
  ~ProcessMetrics();

  void on_handshake(const upstream::HandshakeOutcome& outcome);
  void on_closed_by_change(std::string_view cause);
  void on_refused(session::RefusedConnection why);
  void on_http2_flood(http::H2Flood flood);
  void on_request_refused(session::RefusedRequest why);
  // A relayed connection ended.
  void on_relay(const session::ExchangeRecord& record);
  void on_authorization(const session::AuthOutcome& outcome);
  // A listener found no descriptor or memory for a connection.
  void on_accept_pause();
  void on_load(bool accepted, double seconds, std::uint64_t generation);
  struct Loads {
    std::uint64_t accepted = 0;
    std::uint64_t rejected = 0;
    std::uint64_t generation = 0;
    bool last_accepted = true;
    std::int64_t last = 0;  // Unix seconds of the last that was accepted
  };
  [[nodiscard]] Loads loads() const;
  // Series of Services that are gone.
  void forget_services(const std::vector<std::string>& services);

  // Sums over the workers, set before a scrape.
  struct Gauges {
    std::uint64_t upstream_idle = 0;
    std::uint64_t upstream_active = 0;
    std::uint64_t endpoints_resting = 0;
    std::uint64_t downstream_connections = 0;
    std::uint64_t requests_in_flight = 0;
    std::uint64_t tls_sessions = 0;
    std::uint64_t tls_session_bytes = 0;
    std::uint64_t access_log_dropped = 0;
    std::uint64_t tcp_ports_failed = 0;
  };
  void set(const Gauges& gauges);

  // The whole text format of what is above.
  void write(std::string& out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Expiry of every client certificate, CA and CRL in use, of front certificates, and the counts of
// refused and insecure routes. Reads the snapshot only.
void write_snapshot_metrics(std::string& out, const route::Snapshot& snapshot);

}  // namespace handfast::server
