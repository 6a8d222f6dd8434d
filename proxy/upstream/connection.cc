#include "proxy/upstream/connection.h"

#include <utility>

#include "proxy/upstream/pool.h"

namespace handfast::upstream {

tls::Alpn alpn_of(Wire wire) {
  switch (wire) {
    case Wire::Http1:
      return tls::Alpn::None;
    case Wire::Http2:
      return tls::Alpn::Http2;
    case Wire::Either:
      return tls::Alpn::Either;
  }
  return tls::Alpn::None;
}

Connection::Connection(Pool& pool, Established established, std::function<void()> on_timeout)
    : pool_(pool),
      facts_(std::move(established.peer)),
      wire_(established.wire),
      connect_timeout_(established.connect_timeout),
      service_(std::move(established.service)),
      stream_(std::move(established.stream)),
      tls_(established.tls),
      timer_(pool.loop_.timers(), std::move(on_timeout)),
      place_(std::move(established.place)),
      superseded_(established.superseded),
      valid_until_(established.valid_until),
      peer_not_after_(established.peer_not_after),
      would_refuse_(established.would_refuse),
      born_(pool.loop_.now()) {
  if (facts_.policy != nullptr) epoch_ = facts_.policy->epoch;
}

Connection::~Connection() = default;

void Connection::arm(std::chrono::milliseconds after) { timer_.set(pool_.loop_.now() + after); }

}  // namespace handfast::upstream
