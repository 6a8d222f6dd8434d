#pragma once
// One thread that serves traffic: a loop, its own listeners, its own pools, and the present
// snapshot.
//
// Workers share nothing on the path of a request but immutable snapshots. They are told what to do
// by messages: publish(), drain(), stop().
//
// Threading: construct, start(), publish(), drain(), stop() and the counters from any thread; the
// rest runs on the worker's own. Ownership: the server's.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "proxy/config/control.h"
#include "proxy/event/loop.h"
#include "proxy/net/connection_limits.h"
#include "proxy/net/listener.h"
#include "proxy/server/access_log.h"
#include "proxy/server/process_metrics.h"
#include "proxy/server/route_metrics.h"
#include "proxy/server/snapshot_builder.h"
#include "proxy/server/tcp_listeners.h"
#include "proxy/session/context.h"
#include "proxy/session/session.h"
#include "proxy/tls/contexts.h"

namespace handfast::server {

// The sockets of one worker; there may be none of a kind.
struct WorkerSockets {
  std::vector<UniqueFd> http;
  std::vector<UniqueFd> https;
};

// What the workers have in common; borrowed, outlives them.
struct WorkerShared {
  const Clock& clock;
  AccessLog& access_log;
  RouteMetrics& route_metrics;
  ProcessMetrics& process_metrics;
  upstream::Resolver& resolver;
  net::ConnectionLimits& connection_limits;
  TcpSockets* tcp_sockets = nullptr;  // null: no TCP ports
  tls::TicketKeys tickets;
  tls::SessionStore* sessions = nullptr;  // with backends; null: no resumption
  session::Limits limits;
  upstream::PoolLimits pool_limits;
  // Runs something on the loader's thread: dropping snapshots, judging chains.
  std::function<void(std::function<void()>)> off_loop;
  // A handshake ended; any worker's thread.
  std::function<void(const upstream::HandshakeOutcome&)> on_handshake;
};

class Worker final : private session::SessionOwner,
                     private session::ExchangeObserver,
                     private tls::CertificateSelector {
 public:
  static Result<std::unique_ptr<Worker>> create(std::size_t number, WorkerShared& shared,
                                                WorkerSockets sockets);
  ~Worker() override;

  void start();
  // Swaps the snapshot; from the first on, connections are accepted. `done` runs on the worker's
  // thread once no request can begin under the one before.
  void publish(Publication publication, std::function<void()> done);
  // From now on each answer says that its connection ends, and nothing is closed: clients go
  // elsewhere by themselves. At a drain an idle connection is closed without a word, and a client
  // that asks over it at that moment has lost its request.
  void take_leave();
  // Finishes what is under way, then `done`; connections that come meanwhile are served and closed.
  void drain(std::function<void()> done);
  void stop();  // joins

  // Endpoints that have less than their share; `told` runs on the worker's thread.
  void tell_unwell(std::function<void(std::vector<config::UnwellEndpoint>)> told);

  [[nodiscard]] std::uint64_t upstream_idle() const {
    return upstream_idle_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t upstream_total() const {
    return upstream_total_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t endpoints_resting() const {
    return endpoints_resting_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t requests_in_flight() const {
    return requests_in_flight_.load(std::memory_order_relaxed);
  }
  // TCP ports that this worker can't listen on.
  [[nodiscard]] std::uint64_t tcp_ports_failed() const {
    return tcp_ports_failed_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t sessions() const {
    return session_count_.load(std::memory_order_relaxed);
  }

 private:
  Worker(std::size_t number, WorkerShared& shared, std::unique_ptr<event::Loop> loop,
         WorkerSockets sockets);

  // A certificate to be judged under newer rules, and the answer.
  struct ClientQuestion {
    std::shared_ptr<const tls::ClientPolicy> policy;
    std::string fingerprint;
    pki::X509Ptr leaf;
    pki::X509StackPtr chain;
    pki::Verdict verdict;
  };

  // A host or a TCP port, by what it asks of clients in the present snapshot.
  struct Guard {
    std::shared_ptr<const tls::ClientPolicy> rules;  // null: none, or none that can be used
    bool lets_nobody_in = false;                     // it asks, and nobody can be judged
  };
  // Those whose rules a client must satisfy.
  struct Guards {
    bool first_is_named = false;  // by the handshake; else nothing serves what that named
    std::vector<Guard> all;

    [[nodiscard]] bool is_named(const Guard& guard) const {
      return first_is_named && &guard == all.data();
    }
    [[nodiscard]] bool named_asks() const { return first_is_named && all.front().rules != nullptr; }
  };

  void swap(const Publication& publication);
  void listen();
  void accept(net::Socket socket, const net::Address& peer, bool tls);
  void accept_tcp(std::uint16_t port, net::Socket socket, const net::Address& peer);
  // Where there is room for it.
  void open(net::Socket socket, const net::Address& peer, bool tls, const route::TcpEntry* tcp);
  // A place for one more connection of this client; nothing: it has as many as it may; counted.
  std::optional<net::ConnectionLimits::Slot> try_place(const net::Address& client);
  void judge(std::vector<upstream::JudgeRequest> requests);
  // Of connections that are open while a host's rules for clients change.
  void judge_clients();
  void apply_client_verdicts(const std::vector<ClientQuestion>& questions);
  [[nodiscard]] static Guard guard_of(const route::HostEntry& host);
  [[nodiscard]] static Guard guard_of(const route::TcpEntry& port);
  [[nodiscard]] static std::shared_ptr<const tls::ClientPolicy> newer_rules(
      const Guard& guard, const tls::ClientCertificate* client);
  [[nodiscard]] Guards find_guards(session::Session& session);
  void cut_outlived_clients();
  void each_second();
  // To the system, once most of many connections are gone.
  void give_memory_back();
  void check_drained();
  void on_session_closed(session::Session& session) override;
  void on_session_replaced(session::Session& session,
                           std::unique_ptr<session::Session> next) override;
  bool admit(session::Session& session, const net::Address& client) override;
  void on_refused(session::RefusedConnection why) override;
  void on_http2_flood(http::H2Flood flood) override;
  void on_request_refused(session::RefusedRequest why) override;
  void on_authorization(const session::AuthOutcome& outcome) override;
  void on_exchange(const session::ExchangeRecord& record) override;
  tls::Identities select_certificates(std::string_view server_name) override;
  std::shared_ptr<const tls::ClientPolicy> select_client_policy(
      std::string_view server_name) override;
  [[nodiscard]] upstream::Pool::Hooks hooks();

  std::size_t number_;
  WorkerShared& shared_;
  // Before the loop, which ends what it was given to delete, and that has buffers of the pool.
  BufferPool buffers_;
  std::unique_ptr<event::Loop> loop_;
  tls::ServerContext server_tls_;
  tls::ClientContext client_tls_;
  session::SnapshotHolder snapshots_;
  upstream::Pool pool_;
  upstream::Balancer balancer_;
  session::RequestIds request_ids_;
  session::Context context_;
  WorkerSockets sockets_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::optional<TcpListeners> tcp_listeners_;
  std::vector<std::unique_ptr<session::Session>> sessions_;
  std::vector<net::ConnectionLimits::Slot> places_;  // of sessions_, one each
  std::size_t most_sessions_ = 0;                    // since memory was given back
  event::Timer second_;
  event::Timer drain_timer_;
  std::function<void()> drained_;
  std::atomic<std::uint64_t> upstream_idle_{0};
  std::atomic<std::uint64_t> upstream_total_{0};
  std::atomic<std::uint64_t> endpoints_resting_{0};
  std::atomic<std::uint64_t> requests_in_flight_{0};
  std::atomic<std::uint64_t> session_count_{0};
  std::atomic<std::uint64_t> tcp_ports_failed_{0};
  std::thread thread_;
};

}  // namespace handfast::server
