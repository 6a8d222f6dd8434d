#include "proxy/server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "proxy/base/log.h"

namespace handfast::server {
namespace {

// The proxy also looks for itself: a notice may be lost.
constexpr std::chrono::seconds kLookInterval{2};

Result<UniqueFd> open_access_log(const std::string& path) {
  if (path == "off") return UniqueFd();
  const int fd = path == "-"
                     ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                     : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return fail(Reason::Io, "access log " + path + ": " + ::strerror(errno));
  return UniqueFd(fd);
}

}  // namespace

class Server::SignalHandler final : public event::Handler {
 public:
  SignalHandler(Server& server, UniqueFd fd) : server_(server), fd_(std::move(fd)) {}
  ~SignalHandler() override { server_.loop_->remove(fd_.get()); }
  void on_event(std::uint32_t /*events*/) override {
    signalfd_siginfo info{};
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGHUP) {
        server_.loader_->look(/*forced=*/true);
      } else {
        server_.begin_shutdown();
      }
    }
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Server& server_;
  UniqueFd fd_;
};

Server::Server(ServerOptions options) : options_(std::move(options)) {}

Server::~Server() {
  // The loader first: a load under way waits for the workers. What they hand to it afterwards is
  // dropped with it.
  if (loader_ != nullptr) loader_->stop();
  for (auto& worker : workers_) worker->stop();
  status_page_.reset();
  preflights_.reset();
  dns_.reset();
  resolver_.reset();
}

Result<std::unique_ptr<Server>> Server::create(ServerOptions options) {
  std::unique_ptr<Server> server(new Server(std::move(options)));
  auto loop = event::Loop::create(server->clock_);
  if (!loop) return fail(loop.error());
  server->loop_ = std::move(*loop);
  auto log_fd = open_access_log(server->options_.access_log);
  if (!log_fd) return fail(log_fd.error());
  auto certificate = tls::make_default_certificate();
  if (!certificate) return fail(certificate.error());

  const std::size_t workers = server->options_.workers;
  server->access_log_ = std::make_unique<AccessLog>(workers, std::move(*log_fd));
  server->route_metrics_ = std::make_unique<RouteMetrics>(
      workers,
      server->options_.nginx_labels ? RouteMetrics::Detail::OfPaths : RouteMetrics::Detail::None);
  server->process_metrics_ = std::make_unique<ProcessMetrics>();
  server->loader_ = std::make_unique<Loader>(
      Loader::Source{server->options_.state_directory, server->options_.config_file},
      server->clock_, *server->route_metrics_, *server->process_metrics_, std::move(*certificate));
  server->loader_->set_handshakes(&server->handshakes_);
  auto dns = upstream::DnsClient::create({});
  if (!dns) return fail(dns.error());
  server->dns_ = std::move(*dns);
  server->resolver_ = std::make_unique<upstream::Resolver>(
      server->clock_, [dns = server->dns_.get()](const std::string& name, auto answered) {
        dns->ask(name, std::move(answered));
      });
  server->preflights_ = std::make_unique<Preflights>(server->options_.state_directory,
                                                     server->clock_, *server->resolver_);
  server->connection_limits_ =
      std::make_unique<net::ConnectionLimits>(server->options_.address_connections);
  if (server->options_.session_resumption) {
    server->sessions_ = std::make_unique<tls::SessionStore>();
    server->loader_->set_sessions(server->sessions_.get());
  }
  server->shared_.reset(new WorkerShared{
      .clock = server->clock_,
      .access_log = *server->access_log_,
      .route_metrics = *server->route_metrics_,
      .process_metrics = *server->process_metrics_,
      .resolver = *server->resolver_,
      .connection_limits = *server->connection_limits_,
      .tickets = tls::TicketKeyRing::make(),
      .sessions = server->sessions_.get(),
      .limits = server->options_.limits,
      .pool_limits = server->options_.pool_limits,
      .off_loop = [loader = server->loader_.get()](
                      std::function<void()> task) { loader->post(std::move(task)); },
      .on_handshake =
          [raw = server.get()](const upstream::HandshakeOutcome& outcome) {
            raw->on_handshake(outcome);
          }});
  if (const Status opened = server->open_listeners(); !opened) return fail(opened.error());
  if (const Status opened = server->open_services(); !opened) return fail(opened.error());
  server->plan_tcp_ports();
  if (const Status made = server->make_workers(); !made) return fail(made.error());
  server->resolver_->set_own_listeners(server->own_listeners_);
  return server;
}

// Port 0 takes a free port for the first worker; the others then listen on the same.
Status Server::open_listeners() {
  const auto open = [this](std::vector<net::Address>& addresses, const char* name, bool first,
                           std::vector<UniqueFd>& sockets) -> Status {
    for (net::Address& address : addresses) {
      auto fd = net::open_listener(address, first ? net::PortUse::First : net::PortUse::Shared);
      if (!fd) return fail(fd.error());
      if (first) {
        address = net::local_address(fd->get());
        own_listeners_.push_back(address);
        log(LogLevel::Info, "listening", {{"listener", name}, {"address", address.to_string()}});
      }
      sockets.push_back(std::move(*fd));
    }
    return {};
  };
  for (std::size_t i = 0; i < options_.workers; ++i) {
    WorkerSockets& sockets = worker_sockets_.emplace_back();
    if (const Status http = open(options_.http, "http", i == 0, sockets.http); !http) return http;
    if (const Status https = open(options_.https, "https", i == 0, sockets.https); !https) {
      return https;
    }
  }
  return {};
}

// TCP ports are served where HTTP is; not those that we listen on ourselves.
void Server::plan_tcp_ports() {
  std::set<std::uint16_t> own_ports;
  for (const net::Address& address : own_listeners_) own_ports.insert(address.port());
  std::vector<net::Address> addresses;
  for (const auto* listeners : {&options_.http, &options_.https}) {
    for (const net::Address& listener : *listeners) {
      const auto ip = net::Address::from_ip(listener.ip(), 0);
      if (ip && std::ranges::find(addresses, *ip) == addresses.end()) addresses.push_back(*ip);
    }
  }
  tcp_sockets_ = std::make_unique<TcpSockets>(std::move(addresses), std::move(own_ports));
  shared_->tcp_sockets = tcp_sockets_.get();
}

Status Server::make_workers() {
  std::vector<Worker*> borrowed;
  for (std::size_t i = 0; i < options_.workers; ++i) {
    auto worker = Worker::create(i, *shared_, std::move(worker_sockets_[i]));
    if (!worker) return fail(worker.error());
    borrowed.push_back(worker->get());
    workers_.push_back(std::move(*worker));
  }
  worker_sockets_.clear();
  loader_->set_workers(std::move(borrowed));
  return {};
}

Status Server::open_services() {
  http_service_ = std::make_unique<HttpService>(*loop_, buffers_);
  status_page_ = std::make_unique<StatusPage>(*loader_, *loop_, handshakes_,
                                              [this] { return status_facts(); });
  const auto serve = [this](const std::vector<net::Address>& addresses, const char* name,
                            const HttpService::Handle& handle) -> Status {
    for (const net::Address& address : addresses) {
      auto fd = net::open_listener(address);
      if (!fd) return fail(fd.error());
      own_listeners_.push_back(net::local_address(fd->get()));
      log(LogLevel::Info, "listening",
          {{"listener", name}, {"address", own_listeners_.back().to_string()}});
      if (Status listens = http_service_->listen(std::move(*fd), handle, {}); !listens) {
        return listens;
      }
    }
    return {};
  };
  if (auto metrics = serve(options_.metrics, "metrics",
                           [this](const HttpRequest& request, const HttpService::Answer& answer) {
                             answer_metrics(request, answer);
                           });
      !metrics) {
    return metrics;
  }
  if (auto admin = serve(options_.admin, "admin",
                         [this](const HttpRequest& request, const HttpService::Answer& answer) {
                           answer_admin(request, answer);
                         });
      !admin) {
    return admin;
  }
  if (options_.control_path.empty()) return {};
  auto fd = net::open_unix_listener(options_.control_path);
  if (!fd) return fail(fd.error());
  return http_service_->listen(std::move(*fd),
                               [this](const HttpRequest& request, HttpService::Answer answer) {
                                 answer_control(request, std::move(answer));
                               },
                               {.body_bytes = std::size_t{1} << 20, .same_user_only = true});
}

int Server::run() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  UniqueFd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  signals_ = std::make_unique<SignalHandler>(*this, std::move(fd));
  if (const Status added = loop_->add(signals_->fd(), *signals_); !added) {
    log(LogLevel::Error, "signals can't be watched", {{"detail", added.error().detail}});
    return 1;
  }
  poll_timer_ = std::make_unique<event::Timer>(loop_->timers(), [this] { poll_current(); });
  shutdown_timer_ = std::make_unique<event::Timer>(loop_->timers(), [this] { drain_workers(); });
  loader_->start();
  for (auto& worker : workers_) worker->start();
  poll_current();
  loop_->run();
  if (!options_.control_path.empty()) ::unlink(options_.control_path.c_str());
  loader_->stop();
  for (auto& worker : workers_) worker->stop();
  return 0;
}

void Server::poll_current() {
  loader_->look(/*forced=*/false);
  poll_timer_->set(loop_->now() + kLookInterval);
}

void Server::begin_shutdown() {
  if (shutting_down_) {
    loop_->stop();  // a second signal: now
    return;
  }
  shutting_down_ = true;
  log(LogLevel::Info, "shutting down", {});
  if (options_.shutdown_delay.count() == 0) {
    drain_workers();
  } else {
    for (auto& worker : workers_) worker->take_leave();
    shutdown_timer_->set(loop_->now() + options_.shutdown_delay);
  }
}

void Server::drain_workers() {
  if (drained_ > 0) {  // the timeout: what still runs is cut
    loop_->stop();
    return;
  }
  drained_ = 1;
  for (auto& worker : workers_) {
    worker->drain([this] {
      loop_->post([this] {
        if (++drained_ == workers_.size() + 1) loop_->stop();
      });
    });
  }
  shutdown_timer_->set(loop_->now() + options_.drain_timeout);
}

void Server::on_handshake(const upstream::HandshakeOutcome& outcome) {
  process_metrics_->on_handshake(outcome);
  warnings_.on_handshake(outcome);
  handshakes_.on_handshake(outcome);
}

bool Server::ready() const { return !shutting_down_ && loader_->served() != nullptr; }

}  // namespace handfast::server
