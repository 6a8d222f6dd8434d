#pragma once
// One handshake with one backend by the proxy's own code, and all that was seen on the way.
//
// A completed TLS 1.3 handshake doesn't say whether our certificate was accepted: the backend
// decides after our side is done. If it asked for one, its next bytes or its alert are waited for;
// what comes in time decides, else the answer is "not confirmed".
//
// Threading: one thread's; run() blocks until its deadline at most, or until `stopped` is set, from
// any thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"
#include "proxy/pki/identity.h"
#include "proxy/tls/contexts.h"
#include "proxy/tls/upstream_policy.h"
#include "proxy/upstream/channel.h"

namespace handfast::upstream {

// What became of our certificate.
enum class Acceptance : std::uint8_t {
  Unasked,       // the backend didn't ask
  Unknown,       // the handshake failed before that could be known
  Heard,         // it asked, and sent bytes after the handshake
  Finished,      // it asked, and its TLS went on: our Finished was answered
  NotConfirmed,  // it asked, and has said nothing in time
  Rejected,
};

struct ShownCertificate {
  pki::CertificateInfo info;
  std::string revocation;  // what the CRLs say; empty: not judged
};

struct ProbeResult {
  Error verdict{Reason::Ok, {}};
  // What it would be but for an audit or a permitted lack of CRLs; Ok: the same.
  Error but_for{Reason::Ok, {}};
  std::string version;  // "TLSv1.3"; empty: no ServerHello was seen
  std::string cipher;
  std::string alpn;
  bool stapled = false;                 // with a response of OCSP
  std::vector<ShownCertificate> chain;  // as the backend showed it, its own first
  bool certificate_requested = false;
  std::vector<std::string> accepted_issuers;  // the CAs that it announced with that
  Acceptance acceptance = Acceptance::Unknown;
  UnixSeconds valid_until = 0;  // of the verdict, if it is Ok; 0: no end
  std::chrono::milliseconds took{0};
};

class Prober {
 public:
  // Both must outlive it.
  explicit Prober(const Clock& clock, const std::atomic<bool>* stopped = nullptr)
      : clock_(clock), stopped_(stopped), context_(clock) {}

  // `timeout`: of connecting and the handshake together. Precondition: policy->usable().
  [[nodiscard]] ProbeResult run(const net::Address& address,
                                const std::shared_ptr<const tls::UpstreamPolicy>& policy, Wire wire,
                                std::chrono::milliseconds timeout);

 private:
  const Clock& clock_;
  const std::atomic<bool>* stopped_;
  BufferPool buffers_;
  tls::ClientContext context_;
};

}  // namespace handfast::upstream
