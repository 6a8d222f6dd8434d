#pragma once
// All upstream connections of one worker, and those of them that can take a request, by identity.
//
// Keyed by address + wire + policy key (what we present and the rules that decide). A connection is
// handed out only if its peer was judged under the policy's present trust (epoch) and nothing that
// judgement rests on has expired. Pools outlive snapshots.
//
// An HTTP/1.1 connection is idle or has one user; an HTTP/2 connection takes as many as the peer
// allows. Where ALPN decides between the two, one attempt at a time answers for all who wait.
//
// Threading: one worker's. Ownership: owns every Connection and Dial; a dying one goes to
// Loop::defer_delete.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "proxy/route/snapshot.h"
#include "proxy/upstream/dial.h"
#include "proxy/upstream/h1_connection.h"
#include "proxy/upstream/h2_connection.h"

namespace handfast::upstream {

struct PoolLimits {
  std::chrono::milliseconds idle{60'000};  // upstream-keepalive-timeout
  std::size_t max_idle = 320;              // upstream-keepalive-connections, of each worker
  std::size_t max_per_endpoint = 0;        // of each worker; 0: no limit
};

// How a connection attempt ended, for metrics and state. `reason` Ok: established.
struct HandshakeOutcome {
  const std::string* service;  // config::Service::name
  const net::Address* address;
  bool tls = false;
  bool resumed = false;
  Reason reason = Reason::Ok;
  const pki::Verdict* verdict = nullptr;  // of an established TLS connection
  std::string_view policy_key{};          // tls::UpstreamPolicy::key; empty: plain
  std::string_view detail{};              // of a failure: a sentence
};

[[nodiscard]] inline std::string_view policy_key_of(const tls::UpstreamPolicy* policy) {
  return policy == nullptr ? std::string_view() : std::string_view(policy->key);
}

// A chain to judge again under a policy's new trust, off the event loop.
struct JudgeRequest {
  std::uint64_t connection = 0;
  pki::X509Ptr leaf;
  pki::X509StackPtr chain;
  std::shared_ptr<const std::string> stapled;  // null: none
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

  Pool(event::Loop& loop, BufferPool& buffers, tls::ClientContext& tls, PoolLimits limits,
       Hooks hooks);
  ~Pool();

  // A way over a connection that is there, or null.
  Channel* take(const Target& target, ChannelUser& user);
  // A new connection; user.on_upstream_ready() or on_upstream_failed() follows, never from inside
  // this call, unless cancel() comes first. False: the endpoint has as many as it may.
  [[nodiscard]] bool connect(const Target& target, const std::string& service, ChannelUser& user);
  // The user waits no more, if it did.
  void cancel(ChannelUser& user);

  // Called with each new snapshot before any new request is started: closes what a changed policy
  // no longer allows, and has the rest judged under the new trust.
  void on_snapshot(const route::Snapshot& snapshot,
                   const std::unordered_set<std::string>& policies);
  void on_judged(std::uint64_t connection, const std::shared_ptr<const tls::UpstreamPolicy>& policy,
                 const pki::Verdict& verdict);

  // About once a second: closes connections whose certificates have expired, whose audit is over,
  // whose time to end after a change of identity has come, and those too old to be used again.
  void close_expired();
  void close_idle();

  [[nodiscard]] std::size_t total() const noexcept { return all_.size() + dials_.size(); }
  [[nodiscard]] std::size_t idle() const noexcept { return idle_count_; }

 private:
  friend class Connection;
  friend class Dial;
  friend class H1Connection;
  friend class H2Channel;
  friend class H2Connection;

  struct KeyView {
    const net::Address* address;
    std::string_view policy_key;
    Wire wire;
  };
  struct Key {
    net::Address address;
    std::string policy_key;
    Wire wire;
    [[nodiscard]] KeyView view() const { return {&address, policy_key, wire}; }
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
  // What there is under one key.
  struct Group {
    IntrusiveList<Connection> idle;             // HTTP/1.1, the last used first
    std::vector<H2Connection*> shared;          // HTTP/2
    Dial* dialling = nullptr;                   // the one attempt that answers for all
    bool speaks_http1 = false;                  // Either, and ALPN said so
    std::optional<std::size_t> stream_limit{};  // that the peer told last (HTTP/2)
    [[nodiscard]] bool empty() { return idle.empty() && shared.empty() && dialling == nullptr; }
  };

  [[nodiscard]] static KeyView key_of(const Target& target);
  [[nodiscard]] static KeyView key_of(const Connection& connection, Wire wire);
  Group& group_of(const KeyView& key);
  [[nodiscard]] Group* find_group(const KeyView& key);
  [[nodiscard]] bool usable(const Connection& connection, const tls::UpstreamPolicy* policy) const;
  // Beyond the policy's max_age: it ends with what it carries.
  [[nodiscard]] bool is_aged(const Connection& connection, const tls::UpstreamPolicy* policy) const;
  // What time has ended, and its word for metrics.
  struct Ending {
    Error error;
    std::string_view cause;
  };
  [[nodiscard]] std::optional<Ending> ending_of(const Connection& connection) const;
  // What a new snapshot means for those in use.
  struct Review {
    std::vector<std::pair<std::uint64_t, Error>> refused;
    std::vector<JudgeRequest> judging;
  };
  using PolicyPtr = std::shared_ptr<const tls::UpstreamPolicy>;
  void hold_to(Connection& connection, PolicyPtr policy, Review& review);
  void review_users(Connection& connection, const PolicyPtr& named, const route::Snapshot& snapshot,
                    Review& review);
  template <class T>
  T& adopt(std::unique_ptr<T> connection, bool tls);

  // From dials and connections.
  void on_dialled(Dial& dial);
  void give_to(H2Connection& connection, IntrusiveList<ChannelUser>& waiting, const Target& target);
  // The peer has said how many streams it takes.
  void on_stream_limit(const H2Connection& connection, std::size_t limit);
  void serve_waiting(H2Connection& connection);
  void keep(H1Connection& connection);
  void on_channel_closed(H2Connection& connection);
  void count_idle(Connection& connection);
  void remove_idle(Connection& connection);
  std::optional<EndpointLoad::Place> find_place(const net::Address& endpoint);
  // For users who were promised a connection.
  void connect_or_fail(const Target& target, const std::string& service, ChannelUser& user);
  void drop_oldest_idle();
  void forget_shared(Connection& connection);
  // Its descriptor is closed, and it takes no more requests.
  void cut_off(Connection& connection);
  void close(Connection& connection);
  void close(Dial& dial);

  event::Loop& loop_;
  BufferPool& buffers_;
  tls::ClientContext& tls_;
  PoolLimits limits_;
  Hooks hooks_;
  std::string scratch_;  // for building heads
  EndpointLoad load_;    // before those who have places
  std::vector<std::unique_ptr<Connection>> all_;
  std::vector<std::unique_ptr<Dial>> dials_;
  std::unordered_map<std::uint64_t, Connection*> by_id_;  // TLS connections only
  std::unordered_map<Key, std::unique_ptr<Group>, KeyHash, KeyEqual> groups_;
  std::size_t idle_count_ = 0;
  std::uint64_t next_id_ = 1;
};

}  // namespace handfast::upstream
