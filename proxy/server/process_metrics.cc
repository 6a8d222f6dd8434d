#include "proxy/server/process_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace handfast::server {
namespace {

using CounterFamily = prometheus::Family<prometheus::Counter>;
using GaugeFamily = prometheus::Family<prometheus::Gauge>;

constexpr std::array kAuthSeconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                  0.1,   0.25,   0.5,   1.0,  5.0,   30.0};

CounterFamily& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

GaugeFamily& gauges(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

std::string name_of(session::RefusedConnection why) {
  switch (why) {
    case session::RefusedConnection::WorkerConnections:
      return "worker_connections";
    case session::RefusedConnection::AddressConnections:
      return "address_connections";
    case session::RefusedConnection::ProxyProtocolUnexpected:
      return "proxy_protocol_unexpected";
    case session::RefusedConnection::ProxyProtocolBad:
      return "proxy_protocol_bad";
    case session::RefusedConnection::ProxyProtocolTimeout:
      return "proxy_protocol_timeout";
    case session::RefusedConnection::NotTls:
      return "not_tls";
  }
  return "";
}

std::string name_of(session::RefusedRequest why) {
  switch (why) {
    case session::RefusedRequest::WorkerRequests:
      return "worker_requests";
    case session::RefusedRequest::EndpointConnections:
      return "endpoint_connections";
  }
  return "";
}

std::string name_of(http::H2Flood flood) {
  switch (flood) {
    case http::H2Flood::None:
      return "";
    case http::H2Flood::Resets:
      return "resets";
    case http::H2Flood::Continuations:
      return "continuations";
    case http::H2Flood::Control:
      return "control";
    case http::H2Flood::EmptyFrames:
      return "empty_frames";
    case http::H2Flood::Headers:
      return "headers";
  }
  return "";
}

// "shop/orders:443" -> namespace="shop", service="orders".
std::map<std::string, std::string> labels_of(const std::string& service) {
  const std::size_t slash = service.find('/');
  const std::size_t colon = service.rfind(':');
  return {{"namespace", service.substr(0, slash)},
          {"service", service.substr(slash + 1, colon - slash - 1)}};
}

}  // namespace

struct ProcessMetrics::Impl {
  prometheus::Registry registry;
  CounterFamily& handshakes = counters(registry, "handfast_upstream_tls_handshakes_total",
                                       "TLS handshakes with backends, by result and reason.");
  CounterFamily& connects = counters(registry, "handfast_upstream_connects_total",
                                     "Plain TCP connections to backends, by result and reason.");
  CounterFamily& would_refuse =
      counters(registry, "handfast_upstream_would_refuse_total",
               "Handshakes that an audit let through, by what verification would have said.");
  CounterFamily& crl_skipped =
      counters(registry, "handfast_upstream_crl_skipped_total",
               "Handshakes let through although no CRL in date covered a certificate, by reason.");
  CounterFamily& closed = counters(registry, "handfast_upstream_tls_connections_closed_total",
                                   "Upstream TLS connections closed by a change, by cause.");
  CounterFamily& loads = counters(registry, "handfast_generation_loads_total",
                                  "Generations that were loaded or rejected.");
  prometheus::Gauge& load_seconds = gauges(registry, "handfast_generation_load_seconds",
                                           "Time the last load took until every worker served it.")
                                        .Add({});
  prometheus::Gauge& generation =
      gauges(registry, "handfast_generation", "The generation that every worker serves.").Add({});
  GaugeFamily& upstream =
      gauges(registry, "handfast_upstream_connections", "Connections to backends, by state.");
  prometheus::Gauge& upstream_idle = upstream.Add({{"state", "idle"}});
  prometheus::Gauge& upstream_active = upstream.Add({{"state", "active"}});
  prometheus::Gauge& resting = gauges(registry, "handfast_upstream_endpoints_resting",
                                      "Endpoints that rest after failures, of all workers.")
                                   .Add({});
  prometheus::Gauge& tls_sessions = gauges(registry, "handfast_upstream_tls_sessions",
                                           "TLS sessions with backends kept for resumption.")
                                        .Add({});
  prometheus::Gauge& tls_session_bytes =
      gauges(registry, "handfast_upstream_tls_sessions_bytes", "What they take, estimated.")
          .Add({});
  prometheus::Gauge& downstream =
      gauges(registry, "handfast_downstream_connections", "Connections of clients.").Add({});
  CounterFamily& refused = counters(registry, "handfast_connections_refused_total",
                                    "Connections of clients closed before a request, by reason.");
  // By RefusedConnection; all there from the start, so that each is seen to be 0.
  std::array<prometheus::Counter*, session::kRefusedConnections> refused_why{};
  prometheus::Gauge& in_flight =
      gauges(registry, "handfast_requests_in_flight", "Requests under way, tunnels too.").Add({});
  CounterFamily& refused_requests =
      counters(registry, "handfast_requests_refused_total",
               "Requests answered 503 because of a limit of the proxy's, by reason.");
  std::array<prometheus::Counter*, session::kRefusedRequests> refused_request_why{};
  CounterFamily& auth =
      counters(registry, "handfast_auth_requests_total",
               "Requests about which an auth server was to be asked, by what came of it.");
  prometheus::Histogram& auth_duration =
      prometheus::BuildHistogram()
          .Name("handfast_auth_request_duration_seconds")
          .Help("From a question to an auth server to its answer.")
          .Register(registry)
          .Add({},
               prometheus::Histogram::BucketBoundaries(kAuthSeconds.begin(), kAuthSeconds.end()));
  CounterFamily& floods =
      counters(registry, "handfast_http2_floods_total",
               "HTTP/2 connections of clients ended with ENHANCE_YOUR_CALM, by what they flooded.");
  // By result, reason and whether it was kept; each made when there is something to count.
  std::array<std::array<std::array<std::atomic<prometheus::Counter*>, 2>, kReasonCount>, 3>
      auth_counters{};
  prometheus::Counter& pauses =
      counters(registry, "handfast_accept_pauses_total",
               "Times that a listener paused for want of descriptors or memory.")
          .Add({});
  CounterFamily& relays = counters(registry, "handfast_tcp_connections_total",
                                   "Relayed connections that have ended, by listener and status.");
  CounterFamily& relayed_bytes =
      counters(registry, "handfast_tcp_bytes_total",
               "Bytes of relayed connections that have ended, by direction.");
  prometheus::Gauge& tcp_failed =
      gauges(registry, "handfast_tcp_ports_failed", "TCP ports that can't be listened on now.")
          .Add({});
  prometheus::Gauge& dropped = gauges(registry, "handfast_access_log_dropped_lines",
                                      "Access log lines lost because their reader was too slow.")
                                   .Add({});

  // Of a Service: they go with it.
  struct OfServices {
    CounterFamily& family;
    std::unordered_map<std::string, std::set<prometheus::Counter*>> known{};
  };
  mutable std::mutex mutex;
  Loads load_facts;
  std::array<OfServices, 6> of_services{OfServices{handshakes},   OfServices{connects},
                                        OfServices{would_refuse}, OfServices{crl_skipped},
                                        OfServices{relays},       OfServices{relayed_bytes}};

  void count(OfServices& counters, const std::string& service,
             const std::map<std::string, std::string>& labels, double by = 1) {
    prometheus::Counter& counter = counters.family.Add(labels);
    counter.Increment(by);
    counters.known[service].insert(&counter);
  }
};

ProcessMetrics::ProcessMetrics() : impl_(std::make_unique<Impl>()) {
  impl_->loads.Add({{"result", "accepted"}});
  impl_->loads.Add({{"result", "rejected"}});
  for (std::size_t i = 0; i < impl_->refused_why.size(); ++i) {
    const auto why = static_cast<session::RefusedConnection>(i);
    impl_->refused_why[i] = &impl_->refused.Add({{"reason", name_of(why)}});
  }
  for (std::size_t i = 0; i < impl_->refused_request_why.size(); ++i) {
    const auto why = static_cast<session::RefusedRequest>(i);
    impl_->refused_request_why[i] = &impl_->refused_requests.Add({{"reason", name_of(why)}});
  }
  for (const http::H2Flood flood :
       {http::H2Flood::Resets, http::H2Flood::Continuations, http::H2Flood::Control,
        http::H2Flood::EmptyFrames, http::H2Flood::Headers}) {
    impl_->floods.Add({{"kind", name_of(flood)}});
  }
}
ProcessMetrics::~ProcessMetrics() = default;

void ProcessMetrics::on_handshake(const upstream::HandshakeOutcome& outcome) {
  const std::string& name = *outcome.service;
  const auto labels = [&](Reason reason) {
    auto of_service = labels_of(name);
    of_service.emplace("reason", to_string(reason));
    return of_service;
  };
  auto& [handshakes, connects, would_refuse, crl_skipped, relays, bytes] = impl_->of_services;
  auto ended = labels(outcome.reason);
  ended.emplace("result", outcome.reason == Reason::Ok ? "ok" : "failed");
  if (outcome.tls) ended.emplace("resumed", outcome.resumed ? "true" : "false");
  const std::lock_guard lock(impl_->mutex);
  impl_->count(outcome.tls ? handshakes : connects, name, ended);
  if (outcome.verdict == nullptr) return;
  const pki::Verdict& verdict = *outcome.verdict;
  if (verdict.would_refuse != Reason::Ok) {
    impl_->count(would_refuse, name, labels(verdict.would_refuse));
  }
  if (verdict.crl_skipped != Reason::Ok) {
    impl_->count(crl_skipped, name, labels(verdict.crl_skipped));
  }
}

void ProcessMetrics::forget_services(const std::vector<std::string>& services) {
  const std::lock_guard lock(impl_->mutex);
  for (const std::string& name : services) {
    for (auto& [family, known] : impl_->of_services) {
      const auto found = known.find(name);
      if (found == known.end()) continue;
      const std::set<prometheus::Counter*> gone = std::move(found->second);
      known.erase(found);
      for (prometheus::Counter* counter : gone) {
        // Ports of one Service share their series: it goes with the last of them.
        bool shared = false;
        for (const auto& [other, series] : known) shared = shared || series.contains(counter);
        if (!shared) family.Remove(counter);
      }
    }
  }
}

void ProcessMetrics::on_closed_by_change(std::string_view cause) {
  impl_->closed.Add({{"cause", std::string(cause)}}).Increment();
}

void ProcessMetrics::on_refused(session::RefusedConnection why) {
  impl_->refused_why[static_cast<std::size_t>(why)]->Increment();
}

void ProcessMetrics::on_http2_flood(http::H2Flood flood) {
  impl_->floods.Add({{"kind", name_of(flood)}}).Increment();
}

void ProcessMetrics::on_request_refused(session::RefusedRequest why) {
  impl_->refused_request_why[static_cast<std::size_t>(why)]->Increment();
}

void ProcessMetrics::on_relay(const session::ExchangeRecord& record) {
  static const std::string kNone = "/:";
  const std::string& service = record.route == nullptr ? kNone : record.route->service;
  auto labels = labels_of(service.empty() ? kNone : service);
  labels.emplace("listener",
                 record.tcp_port == 0 ? "passthrough" : std::to_string(record.tcp_port));
  auto ended = labels;
  ended.emplace("status", std::to_string(record.status));
  auto received = labels;
  received.emplace("direction", "received");
  auto sent = std::move(labels);
  sent.emplace("direction", "sent");
  auto& relays = impl_->of_services[4];
  auto& bytes = impl_->of_services[5];
  const std::lock_guard lock(impl_->mutex);
  impl_->count(relays, service, ended);
  impl_->count(bytes, service, received, static_cast<double>(record.request_body_bytes));
  impl_->count(bytes, service, sent, static_cast<double>(record.response_body_bytes));
}

void ProcessMetrics::on_authorization(const session::AuthOutcome& outcome) {
  if (outcome.took) {
    impl_->auth_duration.Observe(std::chrono::duration<double>(*outcome.took).count());
  }
  const auto row = static_cast<std::size_t>(outcome.result);
  std::atomic<prometheus::Counter*>& known =
      impl_->auth_counters[row][static_cast<std::size_t>(outcome.reason)][outcome.cached ? 1 : 0];
  prometheus::Counter* counter = known.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &impl_->auth.Add({{"result", std::string(session::to_string(outcome.result))},
                                {"reason", std::string(to_string(outcome.reason))},
                                {"cached", outcome.cached ? "true" : "false"}});
    known.store(counter, std::memory_order_release);
  }
  counter->Increment();
}

void ProcessMetrics::on_accept_pause() { impl_->pauses.Increment(); }

void ProcessMetrics::on_load(bool accepted, double seconds, std::uint64_t generation) {
  impl_->loads.Add({{"result", accepted ? "accepted" : "rejected"}}).Increment();
  {
    const std::lock_guard lock(impl_->mutex);
    Loads& facts = impl_->load_facts;
    ++(accepted ? facts.accepted : facts.rejected);
    facts.last_accepted = accepted;
    if (accepted) facts.generation = generation;
    if (accepted) facts.last = static_cast<std::int64_t>(std::time(nullptr));
  }
  if (!accepted) return;
  impl_->load_seconds.Set(seconds);
  impl_->generation.Set(static_cast<double>(generation));
}

ProcessMetrics::Loads ProcessMetrics::loads() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->load_facts;
}

void ProcessMetrics::set(const Gauges& gauges) {
  impl_->upstream_idle.Set(static_cast<double>(gauges.upstream_idle));
  impl_->upstream_active.Set(static_cast<double>(gauges.upstream_active));
  impl_->resting.Set(static_cast<double>(gauges.endpoints_resting));
  impl_->downstream.Set(static_cast<double>(gauges.downstream_connections));
  impl_->tls_sessions.Set(static_cast<double>(gauges.tls_sessions));
  impl_->tls_session_bytes.Set(static_cast<double>(gauges.tls_session_bytes));
  impl_->in_flight.Set(static_cast<double>(gauges.requests_in_flight));
  impl_->tcp_failed.Set(static_cast<double>(gauges.tcp_ports_failed));
  impl_->dropped.Set(static_cast<double>(gauges.access_log_dropped));
}

void ProcessMetrics::write(std::string& out) const {
  out.append(prometheus::TextSerializer().Serialize(impl_->registry.Collect()));
}

}  // namespace handfast::server
