#pragma once
// What the sessions of one worker share. Everything is borrowed and outlives the sessions.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/event/loop.h"
#include "proxy/session/auth_cache.h"
#include "proxy/session/client_origin.h"
#include "proxy/session/record.h"
#include "proxy/session/snapshot_holder.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/pool.h"
#include "proxy/upstream/resolver.h"

namespace handfast::session {

class Exchange;

// ingress-nginx's defaults where it has them.
struct Limits {
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds head{60'000};        // client-header-timeout: the whole head
  std::chrono::milliseconds keep_alive{75'000};  // keep-alive
  std::chrono::milliseconds body{60'000};        // client-body-timeout: between two reads
  std::chrono::milliseconds send{60'000};        // client-send-timeout: between two writes that
                                                 // made progress
  std::chrono::milliseconds linger{5'000};       // reading on after an early end
  std::uint64_t keep_alive_requests = 1'000;     // keep-alive-requests, of one connection; 0: any
  std::string temp_directory = "/tmp";           // of buffered bodies that don't stay in memory
  std::uint16_t public_http_port = 80;
  std::uint16_t public_https_port = 443;
  std::size_t worker_connections = 16'384;  // max-worker-connections; of clients
  std::size_t worker_requests = 32'768;     // max-worker-requests; at once, tunnels too
  ClientTrust trust = {};
};

// 32 random hex digits for X-Request-ID. Not a secret: it only has to be unique.
class RequestIds {
 public:
  explicit RequestIds(std::uint64_t seed_a, std::uint64_t seed_b) : a_(seed_a | 1), b_(seed_b) {}
  // Writes exactly 32 characters.
  void next(char* out);

 private:
  std::uint64_t a_;
  std::uint64_t b_;
};

struct Context {
  Context(event::Loop& its_loop, BufferPool& its_buffers, SnapshotHolder& its_snapshots,
          upstream::Pool& its_pool, upstream::Balancer& its_balancer,
          upstream::Resolver& its_resolver, ExchangeObserver& its_observer,
          RequestIds& its_request_ids, const Limits& its_limits);
  ~Context();  // both where Exchange is complete

  event::Loop& loop;
  BufferPool& buffers;
  SnapshotHolder& snapshots;
  upstream::Pool& pool;
  upstream::Balancer& balancer;
  upstream::Resolver& resolver;
  ExchangeObserver& observer;
  RequestIds& request_ids;
  Limits limits;
  std::size_t exchanges = 0;  // under way
  bool draining = false;      // answers carry "Connection: close"
  std::vector<std::unique_ptr<Exchange>> spare_exchanges;
  std::string scratch;  // for building heads
  AuthCache auth_cache;
};

}  // namespace handfast::session
