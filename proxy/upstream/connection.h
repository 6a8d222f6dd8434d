#pragma once
// An established connection to a backend, plain or TLS: what HTTP/1.1 and HTTP/2 have in common.
//
// It knows under which policy it was made, under which trust its peer was last judged, and until
// when that judgement holds, so that the pool can decide whether it may carry a new request.
//
// Threading: one worker's. Ownership: the Pool's.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/loop.h"
#include "proxy/net/stream.h"
#include "proxy/tls/contexts.h"
#include "proxy/upstream/channel.h"
#include "proxy/upstream/endpoint_load.h"

namespace handfast::upstream {

// What a backend is offered in the handshake.
[[nodiscard]] tls::Alpn alpn_of(Wire wire);

class Pool;

// What a Dial hands over.
struct Established {
  PeerFacts peer;
  std::string service;  // config::Service::name
  std::unique_ptr<net::Stream> stream;
  tls::TlsStream* tls = nullptr;                // `stream`, if it is TLS
  Wire wire = Wire::Http1;                      // of the target: part of the key
  bool http2 = false;                           // what it turned out to be
  UnixSeconds valid_until = 0;                  // of the verifier's verdict; 0: no end
  UnixSeconds peer_not_after = 0;               // of a verified peer's own certificate
  Reason would_refuse = Reason::Ok;             // of the verdict, during an audit
  bool superseded = false;                      // the policy changed while it was made
  std::chrono::milliseconds connect_timeout{};  // of the target
  EndpointLoad::Place place{};
};

class Connection : public event::Handler, public event::RoundEnd, public ListNode {
 public:
  ~Connection() override;

  [[nodiscard]] const PeerFacts& facts() const noexcept { return facts_; }
  [[nodiscard]] const std::string& service() const noexcept { return service_; }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  // The peer's chain, for judging it again; null for plain connections.
  [[nodiscard]] SSL* ssl() const noexcept { return tls_ == nullptr ? nullptr : tls_->ssl(); }
  // An exchange is under way on it.
  [[nodiscard]] virtual bool in_use() const = 0;

 protected:
  friend class Pool;
  Connection(Pool& pool, Established established, std::function<void()> on_timeout);

  // Of those who use it.
  [[nodiscard]] virtual std::vector<std::shared_ptr<const tls::UpstreamPolicy>> policies_today(
      const route::Snapshot& newest) const = 0;
  // Closes it; whoever uses it is told.
  virtual void fail(Error error) = 0;
  void arm(std::chrono::milliseconds after);

  Pool& pool_;
  PeerFacts facts_;
  Wire wire_;
  std::chrono::milliseconds connect_timeout_;
  std::string service_;
  std::unique_ptr<net::Stream> stream_;
  tls::TlsStream* tls_;
  event::Timer timer_;
  bool closed_ = false;

 private:
  std::uint64_t id_ = 0;
  std::size_t slot_ = 0;  // index in the pool's list of all
  bool counted_idle_ = false;
  EndpointLoad::Place place_;
  bool superseded_ = false;  // the policy's identity or rules were replaced: never pooled
  std::string asked_;        // superseded: key and epoch of a user that it was held to last
  std::string epoch_;        // of the trust that the peer's chain was last judged under
  UnixSeconds valid_until_;
  UnixSeconds peer_not_after_;
  Reason would_refuse_;
  Monotonic born_;
  std::optional<Monotonic> drain_at_;  // our identity was replaced, and this long it may live on
  // The peer isn't trusted any more, and so long it may live on.
  struct Distrust {
    Error why;
    Monotonic end;
  };
  std::optional<Distrust> distrusted_;
};

}  // namespace handfast::upstream
