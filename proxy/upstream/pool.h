#pragma once
// All upstream connections of one worker, and the idle ones by identity.
//
// Keyed by address + protocol + policy key (what we present and the rules that decide). An idle
// connection is handed out only if its peer was judged under the policy's present trust (epoch) and
// nothing that judgement rests on has expired. Pools outlive snapshots.
//
// Threading: one worker's. Ownership: owns every Connection; a dying one goes to
// Loop::defer_delete.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "proxy/route/snapshot.h"
#include "proxy/upstream/connection.h"

namespace handfast::upstream {

// How a connection attempt ended, for metrics and state. `reason` Ok: established.
struct HandshakeOutcome {
  const std::string* service;  // config::Service::name
  const net::Address* address;
  bool tls = false;
  Reason reason = Reason::Ok;
};

// A chain to judge again under a policy's new trust, off the event loop.
struct JudgeRequest {
  std::uint64_t connection = 0;
  pki::X509Ptr leaf;
  pki::X509StackPtr chain;
  std::shared_ptr<const tls::UpstreamPolicy> policy;
};

class Pool {
 public:
  struct Hooks {
    std::function<void(const HandshakeOutcome&)> on_handshake;
    // Hands chains to whoever judges them; answers come to on_judged().
    std::function<void(std::vector<JudgeRequest>)> judge;
    std::function<void(std::string_view cause)> on_closed_by_change;
  };

  Pool(event::Loop& loop, BufferPool& buffers, tls::ClientContext& tls, Timeouts timeouts,
       Hooks hooks);
  ~Pool();

  // An idle connection for `user`, or null. `policy` null: plain HTTP.
  Connection* take(const net::Address& address, const tls::UpstreamPolicy* policy,
                   ConnectionUser& user);
  // A new one; user.on_upstream_ready() or on_upstream_failed() follows, never from inside this
  // call.
  Connection* connect(const net::Address& address, const std::string& service,
                      std::shared_ptr<const tls::UpstreamPolicy> policy, ConnectionUser& user);
  // The exchange is over and the response was whole. Pools it if it may live on.
  void release(Connection& connection);
  // It must not be used again: closes it.
  void abandon(Connection& connection);

  // Called with each new snapshot before any new request is started: closes what a changed policy
  // no longer allows, and has the rest judged under the new trust.
  void on_snapshot(const route::Snapshot& snapshot,
                   const std::unordered_set<std::string>& policies);
  void on_judged(std::uint64_t connection, const std::string& epoch, const pki::Verdict& verdict);

  // About once a second: closes connections whose certificates have expired.
  void close_expired();
  void close_idle();

  [[nodiscard]] std::size_t total() const noexcept { return all_.size(); }
  [[nodiscard]] std::size_t idle() const noexcept { return idle_count_; }

 private:
  friend class Connection;

  struct KeyView {
    const net::Address* address;
    std::string_view policy_key;
  };
  struct Key {
    net::Address address;
    std::string policy_key;
    [[nodiscard]] KeyView view() const { return {&address, policy_key}; }
  };
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(const KeyView& key) const noexcept;
    std::size_t operator()(const Key& key) const noexcept { return (*this)(key.view()); }
  };
  struct KeyEqual {
    using is_transparent = void;
    static bool same(const KeyView& a, const KeyView& b) noexcept;
    bool operator()(const Key& a, const Key& b) const noexcept { return same(a.view(), b.view()); }
    bool operator()(const KeyView& a, const Key& b) const noexcept { return same(a, b.view()); }
    bool operator()(const Key& a, const KeyView& b) const noexcept { return same(a.view(), b); }
  };
  using Idle = IntrusiveList<Connection>;

  [[nodiscard]] static KeyView key_of(const net::Address& address,
                                      const tls::UpstreamPolicy* policy);
  [[nodiscard]] bool usable(const Connection& connection, const tls::UpstreamPolicy* policy) const;
  void remove_idle(Connection& connection);
  void close(Connection& connection);

  event::Loop& loop_;
  BufferPool& buffers_;
  tls::ClientContext& tls_;
  Timeouts timeouts_;
  Hooks hooks_;
  std::vector<std::unique_ptr<Connection>> all_;
  std::unordered_map<std::uint64_t, Connection*> by_id_;  // TLS connections only
  std::unordered_map<Key, std::unique_ptr<Idle>, KeyHash, KeyEqual> idle_;
  std::size_t idle_count_ = 0;
  std::uint64_t next_id_ = 1;
};

}  // namespace handfast::upstream
