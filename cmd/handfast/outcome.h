#pragma once
// What came of asking one endpoint, as a line, as a tree, and counted.

#include <string>
#include <vector>

#include "cmd/handfast/backends.h"
#include "cmd/handfast/facts.h"
#include "proxy/base/clock.h"
#include "proxy/upstream/probe.h"

namespace handfast {

// A handshake that was done or couldn't be.
struct Outcome {
  Backend backend;
  std::string address;  // "10.0.0.7:8443"; empty: none was connected to
  bool plain = false;
  upstream::ProbeResult seen;

  [[nodiscard]] bool ok() const { return seen.verdict.reason == Reason::Ok; }
};

[[nodiscard]] Facts outcome_facts(const Outcome& outcome, UnixSeconds now);

// "Ingress shop/orders shop/orders:443 10.0.0.7:8443: expired: <detail> -> <change>"
[[nodiscard]] std::string outcome_line(const Outcome& outcome);

[[nodiscard]] Facts summary_facts(const std::vector<Outcome>& outcomes);
// "backends: 3, ok: 1, would fail: 0, failed: 1, plain http: 1"
[[nodiscard]] std::string summary_line(const std::vector<Outcome>& outcomes);

}  // namespace handfast
