#pragma once
// The proxy as a whole: workers, loader, access log, control socket, metrics and admin page.
//
// Threading: create() and run() on the main thread, which becomes the loop of control, metrics and
// signals. Ownership: everything is built here and ends here, in reverse.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/control.h"
#include "proxy/net/address.h"
#include "proxy/net/connection_limits.h"
#include "proxy/server/handshake_warnings.h"
#include "proxy/server/http_service.h"
#include "proxy/server/last_handshakes.h"
#include "proxy/server/loader.h"
#include "proxy/server/preflights.h"
#include "proxy/server/status_page.h"
#include "proxy/server/worker.h"
#include "proxy/upstream/dns_client.h"
#include "proxy/upstream/resolver.h"

namespace handfast::server {

struct ServerOptions {
  std::string state_directory = "/run/handfast";
  std::string config_file;   // instead of a state directory
  std::string control_path;  // empty: none (with config_file)
  std::vector<net::Address> http;
  std::vector<net::Address> https;
  std::vector<net::Address> metrics;
  std::vector<net::Address> admin;
  std::size_t workers = 1;
  std::chrono::milliseconds shutdown_delay{0};
  std::chrono::milliseconds drain_timeout{30'000};
  std::string access_log = "-";  // a path, "-" for stdout, "off"
  session::Limits limits;
  std::uint32_t address_connections = 0;  // of one client address; 0: no limit
  upstream::PoolLimits pool_limits;
  bool session_resumption = true;  // with backends
  std::string name;                // of the pod or the machine, for the status page
  // With a value, series of ingress-nginx too, with these labels (nginx_metrics.h).
  std::optional<std::string> nginx_labels;
};

class Server {
 public:
  // Opens every socket, so that a port in use is told at once.
  static Result<std::unique_ptr<Server>> create(ServerOptions options);
  ~Server();

  // Serves until SIGTERM or SIGINT, drains, answers the exit code.
  int run();

 private:
  explicit Server(ServerOptions options);
  Status open_listeners();
  Status open_services();
  void plan_tcp_ports();
  Status make_workers();
  void on_signal();
  void begin_shutdown();
  void drain_workers();
  void poll_current();
  void on_handshake(const upstream::HandshakeOutcome& outcome);

  void answer_metrics(const HttpRequest& request, const HttpService::Answer& answer);
  void scrape();
  void answer_control(const HttpRequest& request, HttpService::Answer answer);
  void answer_preflight(const HttpRequest& request, HttpService::Answer answer);
  void answer_admin(const HttpRequest& request, const HttpService::Answer& answer);
  // Who asks for /v1/state in one way and waits while another answer is made.
  struct StateQuestions {
    std::function<void(std::function<void()>)> post;  // to the thread that makes it
    std::deque<HttpService::Answer> waiting{};
    bool is_answering = false;
  };
  void answer_state(StateQuestions& questions, const HttpService::Answer& answer);
  void tell_state(StateQuestions& questions);
  void make_state(StateQuestions& questions, std::vector<HttpService::Answer> answers,
                  std::vector<config::UnwellEndpoint> unwell);
  [[nodiscard]] std::string metrics_text();
  [[nodiscard]] ProcessMetrics::Gauges gauges() const;
  [[nodiscard]] StatusFacts status_facts() const;
  void write_nginx_metrics(std::string& text, const ProcessMetrics::Gauges& gauges) const;
  [[nodiscard]] config::StateAnswer state(const route::Snapshot* snapshot) const;
  [[nodiscard]] bool ready() const;

  class SignalHandler;

  ServerOptions options_;
  SystemClock clock_;
  BufferPool buffers_;  // outlives the loop and what it deletes
  std::unique_ptr<event::Loop> loop_;
  std::unique_ptr<AccessLog> access_log_;
  std::unique_ptr<RouteMetrics> route_metrics_;
  std::unique_ptr<ProcessMetrics> process_metrics_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<upstream::Resolver> resolver_;
  std::unique_ptr<net::ConnectionLimits> connection_limits_;
  std::unique_ptr<upstream::DnsClient> dns_;  // answers to the resolver: ends before it
  std::unique_ptr<Preflights> preflights_;    // asks the resolver, answers on the loop
  std::unique_ptr<tls::SessionStore> sessions_;
  std::vector<net::Address> own_listeners_;
  std::unique_ptr<TcpSockets> tcp_sockets_;
  std::unique_ptr<WorkerShared> shared_;
  std::vector<WorkerSockets> worker_sockets_;  // until the workers have them
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<HttpService> http_service_;
  std::unique_ptr<StatusPage> status_page_;
  std::unique_ptr<SignalHandler> signals_;
  std::unique_ptr<event::Timer> poll_timer_;
  std::unique_ptr<event::Timer> shutdown_timer_;
  std::deque<HttpService::Answer> scrapes_;  // that wait while one is made
  bool is_scraping_ = false;
  // The controller doesn't wait for whoever is on this machine.
  StateQuestions of_control_{[this](auto task) { loader_->post(std::move(task)); }};
  StateQuestions of_admin_{[this](auto task) { status_page_->post(std::move(task)); }};
  const UnixSeconds start_ = clock_.unix_now();
  bool shutting_down_ = false;
  std::size_t drained_ = 0;

  HandshakeWarnings warnings_{clock_};
  LastHandshakes handshakes_{clock_};
};

}  // namespace handfast::server
