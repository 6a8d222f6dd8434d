#include "proxy/server/handshake_warnings.h"

#include "proxy/base/log.h"

namespace handfast::server {
namespace {

// More Services than this at once are told of more often.
constexpr std::size_t kMaxTold = 4096;

}  // namespace

bool HandshakeWarnings::is_due(const std::string& service, Kind kind, Reason reason) {
  const UnixSeconds now = clock_.unix_now();
  const std::lock_guard lock(mutex_);
  if (told_.size() >= kMaxTold) told_.clear();
  const auto [place, first] = told_.try_emplace({service, kind, reason}, now);
  if (!first && now - place->second < kEvery) return false;
  place->second = now;
  return true;
}

void HandshakeWarnings::on_handshake(const upstream::HandshakeOutcome& outcome) {
  if (outcome.verdict == nullptr) return;
  const pki::Verdict& verdict = *outcome.verdict;
  const auto tell = [&](const char* message, Reason reason) {
    log(LogLevel::Warning, message,
        {{"service", *outcome.service},
         {"upstream", outcome.address->to_string()},
         {"reason", std::string(to_string(reason))},
         {"detail", verdict.detail}});
  };
  if (verdict.would_refuse != Reason::Ok &&
      is_due(*outcome.service, Kind::WouldRefuse, verdict.would_refuse)) {
    tell("a backend passed that would be refused after the audit", verdict.would_refuse);
  }
  if (verdict.crl_skipped != Reason::Ok &&
      is_due(*outcome.service, Kind::CrlSkipped, verdict.crl_skipped)) {
    tell("a backend passed that no CRL in date covers", verdict.crl_skipped);
  }
}

}  // namespace handfast::server
