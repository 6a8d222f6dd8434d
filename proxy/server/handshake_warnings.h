#pragma once
// Tells the log which backends got through although something is wrong with them: an audit let them
// pass, or no CRL in date covers them. Once a minute for a Service and reason, however busy it is.
//
// Threading: any thread.

#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "proxy/base/clock.h"
#include "proxy/upstream/pool.h"

namespace handfast::server {

class HandshakeWarnings {
 public:
  static constexpr UnixSeconds kEvery = 60;

  explicit HandshakeWarnings(const Clock& clock) : clock_(clock) {}

  void on_handshake(const upstream::HandshakeOutcome& outcome);

 private:
  enum class Kind : std::uint8_t { WouldRefuse, CrlSkipped };
  [[nodiscard]] bool is_due(const std::string& service, Kind kind, Reason reason);

  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::tuple<std::string, Kind, Reason>, UnixSeconds> told_;
};

}  // namespace handfast::server
