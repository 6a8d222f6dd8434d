// What the proxy answers about itself: control socket, metrics, admin page.

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "proxy/server/nginx_metrics.h"
#include "proxy/server/process_stats.h"
#include "proxy/server/server.h"

namespace handfast::server {
namespace {

constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kJson = "application/json";
// More than whoever scrapes an installation, or asks for its state; the oldest is told to come
// back.
constexpr std::size_t kMostScrapes = 16;
constexpr std::size_t kMostStateQuestions = 16;

HttpReply not_found() { return {404, "text/plain; charset=utf-8", "not found\n"}; }

config::PolicyState describe_policy(const tls::UpstreamPolicy& policy) {
  config::PolicyState state;
  state.name = policy.name;
  if (policy.refused) {
    state.refused = to_string(policy.refused->reason);
    return state;
  }
  if (policy.identity != nullptr) {
    const pki::CertificateInfo& info = policy.identity->info();
    state.subject = info.subject;
    state.issuer = info.issuer;
    state.serial = info.serial;
    state.sha256 = info.sha256;
    state.sans = info.sans;
    state.not_before = info.not_before;
    state.not_after = info.not_after;
  }
  for (const auto& bundle : policy.trust) {
    state.ca_count += bundle->anchors().size();
    const UnixSeconds end = bundle->earliest_not_after();
    if (state.ca_not_after == 0 || end < state.ca_not_after) state.ca_not_after = end;
  }
  for (const auto& crls : policy.crls) {
    for (const auto& info : crls->info()) {
      state.crls.push_back(
          {info.issuer, info.number, info.this_update, info.next_update, info.entries});
    }
  }
  return state;
}

}  // namespace

ProcessMetrics::Gauges Server::gauges() const {
  ProcessMetrics::Gauges gauges;
  for (const auto& worker : workers_) {
    const std::uint64_t idle = worker->upstream_idle();
    const std::uint64_t total = worker->upstream_total();
    gauges.upstream_idle += idle;
    gauges.upstream_active += total > idle ? total - idle : 0;
    gauges.endpoints_resting += worker->endpoints_resting();
    gauges.downstream_connections += worker->sessions();
    gauges.requests_in_flight += worker->requests_in_flight();
    gauges.tcp_ports_failed = std::max(gauges.tcp_ports_failed, worker->tcp_ports_failed());
  }
  if (sessions_ != nullptr) {
    gauges.tls_sessions = sessions_->size();
    gauges.tls_session_bytes = sessions_->bytes();
  }
  gauges.access_log_dropped = access_log_->dropped();
  return gauges;
}

StatusFacts Server::status_facts() const {
  const ProcessMetrics::Gauges now = gauges();
  const ProcessMetrics::Loads loads = process_metrics_->loads();
  return {.name = options_.name,
          .now = clock_.unix_now(),
          .start = start_,
          .ready = ready(),
          .draining = shutting_down_,
          .workers = workers_.size(),
          .connections = now.downstream_connections,
          .requests = now.requests_in_flight,
          .upstream_connections = now.upstream_active + now.upstream_idle,
          .loads_accepted = loads.accepted,
          .loads_rejected = loads.rejected,
          .last_load = loads.last,
          .refused = loader_->last_refused()};
}

std::string Server::metrics_text() {
  const ProcessMetrics::Gauges gauges = this->gauges();
  process_metrics_->set(gauges);
  std::string text;
  process_metrics_->write(text);
  route_metrics_->write(text);
  write_process_stats(text, read_process_stats(), start_);
  if (options_.nginx_labels) write_nginx_metrics(text, gauges);
  return text;
}

void Server::write_nginx_metrics(std::string& text, const ProcessMetrics::Gauges& gauges) const {
  const ProcessMetrics::Loads loads = process_metrics_->loads();
  write_nginx_facts(text,
                    {.process = read_process_stats(),
                     .start = start_,
                     .connections = gauges.downstream_connections,
                     .requests_in_flight = gauges.requests_in_flight,
                     .requests = route_metrics_->requests(),
                     .generation = loads.generation,
                     .loads_accepted = loads.accepted,
                     .loads_rejected = loads.rejected,
                     .last_load_accepted = loads.last_accepted,
                     .last_load = loads.last},
                    *options_.nginx_labels);
  route_metrics_->write_nginx(text, *options_.nginx_labels);
  if (const auto snapshot = loader_->served(); snapshot != nullptr) {
    write_nginx_certificates(text, *snapshot);
  }
}

void Server::answer_metrics(const HttpRequest& request, const HttpService::Answer& answer) {
  if (request.path == "/healthz") {
    answer({200, "text/plain; charset=utf-8", "ok\n"});
  } else if (request.path == "/readyz") {
    const bool yes = ready();
    answer({yes ? 200 : 503, "text/plain; charset=utf-8", yes ? "ready\n" : "not ready\n"});
  } else if (request.path == "/metrics") {
    scrapes_.push_back(answer);
    if (scrapes_.size() > kMostScrapes) {
      scrapes_.front()({503, "text/plain; charset=utf-8", "too many scrapes at once\n"});
      scrapes_.pop_front();
    }
    scrape();
  } else {
    answer(not_found());
  }
}

// A scrape of 10,000 Ingresses takes a while: not on the loop that answers the probes; and one at a
// time for all who asked before it began, since a revocation waits for the loader too.
void Server::scrape() {
  if (is_scraping_ || scrapes_.empty()) return;
  is_scraping_ = true;
  loader_->post([this, answers = std::exchange(scrapes_, {})] {
    std::string text = metrics_text();
    if (const auto snapshot = loader_->served(); snapshot != nullptr) {
      write_snapshot_metrics(text, *snapshot);
    }
    loop_->post([this, answers, text = std::move(text)] {
      is_scraping_ = false;
      for (const auto& answer : answers) answer({200, kMetricsType, text});
      scrape();
    });
  });
}

void Server::answer_control(const HttpRequest& request, HttpService::Answer answer) {
  if (request.path == "/v1/load" && request.method == "POST") {
    const auto wanted = config::parse_load_request(request.body);
    if (!wanted) {
      answer({400, "text/plain; charset=utf-8", wanted.error().detail + "\n"});
      return;
    }
    const std::uint64_t number = wanted->generation;
    loader_->load(number,
                  [this, number, answer = std::move(answer)](const config::LoadAnswer& loaded) {
                    const bool accepted = loaded.generation == number && loaded.rejected.empty();
                    loop_->post([answer, accepted, body = config::to_json(loaded)]() mutable {
                      answer({accepted ? 200 : 409, kJson, std::move(body)});
                    });
                  });
    return;
  }
  if (request.path == "/v1/preflight" && request.method == "POST") {
    answer_preflight(request, std::move(answer));
    return;
  }
  if (request.path == "/v1/state" && request.method == "GET") {
    answer_state(of_control_, answer);
  } else {
    answer(not_found());
  }
}

void Server::answer_preflight(const HttpRequest& request, HttpService::Answer answer) {
  auto wanted = config::parse_preflight_request(request.body);
  if (!wanted) {
    answer({400, "text/plain; charset=utf-8", wanted.error().detail + "\n"});
    return;
  }
  preflights_->ask(*std::move(wanted),
                   [this, answer = std::move(answer)](const config::PreflightAnswer& told) {
                     loop_->post([answer, body = config::to_json(told)]() mutable {
                       answer({200, kJson, std::move(body)});
                     });
                   });
}

void Server::answer_admin(const HttpRequest& request, const HttpService::Answer& send) {
  const HttpService::Answer answer = [send](HttpReply reply) {
    reply.headers.append(kAdminHeaders);
    send(std::move(reply));
  };
  if (!is_own_host(request.host)) {
    answer({421, "text/plain; charset=utf-8", "only by localhost or an address\n"});
  } else if (request.method != "GET" && request.method != "HEAD") {
    answer({405, "text/plain; charset=utf-8", "only GET\n", "Allow: GET, HEAD\r\n"});
  } else if (request.path == "/v1/state") {
    answer_state(of_admin_, answer);
  } else {
    status_page_->answer(request, answer);
  }
}

void Server::answer_state(StateQuestions& questions, const HttpService::Answer& answer) {
  questions.waiting.push_back(answer);
  if (questions.waiting.size() > kMostStateQuestions) {
    questions.waiting.front()({503, "text/plain; charset=utf-8", "too many questions at once\n"});
    questions.waiting.pop_front();
  }
  tell_state(questions);
}

// One at a time, for all who asked before it began: each looks at every policy. Each worker tells
// of its own endpoints; when the last has, the rest is made, off the loops.
void Server::tell_state(StateQuestions& questions) {
  if (questions.is_answering || questions.waiting.empty()) return;
  questions.is_answering = true;
  struct Gathered {
    std::vector<HttpService::Answer> answers;
    std::size_t missing;
    std::vector<config::UnwellEndpoint> unwell{};
  };
  const auto waiting = std::exchange(questions.waiting, {});
  const auto gathered = std::make_shared<Gathered>(
      Gathered{std::vector<HttpService::Answer>(waiting.begin(), waiting.end()), workers_.size()});
  for (const auto& worker : workers_) {
    worker->tell_unwell([this, &questions, gathered](std::vector<config::UnwellEndpoint> some) {
      loop_->post([this, &questions, gathered, some = std::move(some)]() mutable {
        std::ranges::move(some, std::back_inserter(gathered->unwell));
        if (--gathered->missing > 0) return;
        make_state(questions, std::move(gathered->answers), std::move(gathered->unwell));
      });
    });
  }
}

void Server::make_state(StateQuestions& questions, std::vector<HttpService::Answer> answers,
                        std::vector<config::UnwellEndpoint> unwell) {
  questions.post([this, &questions, answers = std::move(answers),
                  unwell = std::move(unwell)]() mutable {
    auto snapshot = loader_->served();
    config::StateAnswer state = this->state(snapshot.get());
    // It may be the last reference by now.
    loader_->post([held = std::move(snapshot)] {});
    state.unwell = std::move(unwell);
    loop_->post([this, &questions, answers = std::move(answers), body = config::to_json(state)] {
      questions.is_answering = false;
      for (const auto& answer : answers) answer({200, kJson, body});
      tell_state(questions);
    });
  });
}

config::StateAnswer Server::state(const route::Snapshot* snapshot) const {
  config::StateAnswer state;
  if (snapshot == nullptr) return state;
  state.generation = snapshot->generation;
  std::map<std::string, config::PolicyState> policies;
  for (const auto& bucket : snapshot->buckets) {
    if (bucket == nullptr) continue;
    for (const auto& [name, policy] : bucket->policies)
      policies.emplace(name, describe_policy(*policy));
  }
  for (auto& [name, policy] : policies) state.policies.push_back(std::move(policy));
  // The newest of an endpoint, whatever was presented to it; they come together.
  for (const LastHandshake& last : handshakes_.all()) {
    config::EndpointState told{last.service, last.address.to_string(),
                               std::string(to_string(last.reason)), last.time};
    const bool is_same = !state.endpoints.empty() &&
                         state.endpoints.back().service == told.service &&
                         state.endpoints.back().address == told.address;
    if (!is_same) {
      state.endpoints.push_back(std::move(told));
    } else if (told.time >= state.endpoints.back().time) {
      state.endpoints.back() = std::move(told);
    }
  }
  return state;
}

}  // namespace handfast::server
