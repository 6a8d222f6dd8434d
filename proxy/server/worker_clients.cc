// Certificates of clients whose connections are open while rules, CAs and CRLs change.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/server/worker.h"
#include "proxy/tls/client_certificate.h"

namespace handfast::server {
namespace {

bool has_usable_rules(const std::shared_ptr<const tls::ClientPolicy>& rules) {
  return rules != nullptr && !rules->refused;
}

const tls::ClientCertificate* certificate_of(session::Session& session) {
  const tls::TlsStream* const stream = session.tls();
  return stream == nullptr ? nullptr : stream->client_certificate();
}

}  // namespace

Worker::Guard Worker::guard_of(const route::HostEntry& host) {
  if (has_usable_rules(host.client)) return {.rules = host.client};
  return {.rules = nullptr,
          .lets_nobody_in = host.client != nullptr ||
                            std::ranges::any_of(host.config.routes, [](const config::Route& route) {
                              return route.client && route.client->refused;
                            })};
}

Worker::Guard Worker::guard_of(const route::TcpEntry& port) {
  return {.rules = port.client, .lets_nobody_in = port.config.client_refused.has_value()};
}

// What it asks for today, if that isn't what the client was judged by. Null: nothing new.
std::shared_ptr<const tls::ClientPolicy> Worker::newer_rules(const Guard& guard,
                                                             const tls::ClientCertificate* client) {
  if (guard.rules == nullptr) return nullptr;
  const bool same = client != nullptr && client->policy()->key == guard.rules->key &&
                    client->policy()->epoch == guard.rules->epoch;
  return same ? nullptr : guard.rules;
}

// The host that the handshake named, and those of what is under way: other hosts with the same
// rules may be asked for on one connection, and their rules bind it too, also when the first asks
// for nothing any more. Of a TCP port: its own; one that is gone binds nobody.
Worker::Guards Worker::find_guards(session::Session& session) {
  Guards guards;
  const tls::TlsStream* const stream = session.tls();
  // Closed: the client has ended its side, but a tunnel may still send to it.
  const bool usable = stream != nullptr && (stream->state() == tls::TlsStream::State::Open ||
                                            stream->state() == tls::TlsStream::State::Closed);
  if (!usable) return guards;
  const route::Snapshot& snapshot = snapshots_.current();
  if (stream->port() != nullptr) {
    const route::TcpEntry* const port = snapshot.find_tcp(stream->port()->number);
    if (port != nullptr) guards = {.first_is_named = true, .all = {guard_of(*port)}};
    return guards;
  }
  std::vector<const route::HostEntry*> hosts;
  if (const auto* named = snapshot.find_host(stream->server_name()); named != nullptr) {
    hosts.push_back(named);
    guards.first_is_named = true;
  }
  std::vector<std::string_view> names;
  session.add_guarded_hosts(names);
  for (const std::string_view name : names) {
    const route::HostEntry* const host = snapshot.find_host(name);
    if (host != nullptr && std::ranges::find(hosts, host) == hosts.end()) hosts.push_back(host);
  }
  for (const route::HostEntry* const host : hosts) guards.all.push_back(guard_of(*host));
  return guards;
}

void Worker::judge_clients() {
  std::vector<ClientQuestion> questions;
  std::set<std::pair<const tls::ClientPolicy*, std::string>> asked;
  std::vector<session::Session*> never_asked;
  std::vector<session::Session*> shut_out;
  for (const auto& session : sessions_) {
    const Guards guards = find_guards(*session);
    const tls::ClientCertificate* const client = certificate_of(*session);
    if (client == nullptr) {
      if (guards.named_asks()) never_asked.push_back(session.get());
      continue;
    }
    // Its certificate was good, and nobody can judge it any more.
    if (client->verdict().ok() && std::ranges::any_of(guards.all, &Guard::lets_nobody_in)) {
      shut_out.push_back(session.get());
      continue;
    }
    for (const Guard& guard : guards.all) {
      auto policy = newer_rules(guard, client);
      const bool is_new = policy != nullptr && client->leaf() != nullptr &&
                          asked.emplace(policy.get(), client->fingerprint()).second;
      if (!is_new) continue;
      X509_up_ref(client->leaf());
      questions.push_back(
          {std::move(policy),
           client->fingerprint(),
           pki::X509Ptr(client->leaf()),
           pki::X509StackPtr(client->chain() == nullptr ? nullptr
                                                        : X509_chain_up_ref(client->chain())),
           {}});
    }
  }
  // It gets no route of its host any more; a new connection will be asked. (What a TCP port relays
  // goes on, as tunnels do.)
  for (session::Session* session : never_asked) session->drain();
  for (session::Session* session : shut_out) session->cut();
  if (questions.empty()) return;
  auto shared_questions = std::make_shared<std::vector<ClientQuestion>>(std::move(questions));
  shared_.off_loop([this, shared_questions] {
    for (ClientQuestion& question : *shared_questions) {
      question.verdict = question.policy->judge(question.leaf.get(), question.chain.get(),
                                                shared_.clock.unix_now());
    }
    loop_->post([this, shared_questions] { apply_client_verdicts(*shared_questions); });
  });
}

void Worker::apply_client_verdicts(const std::vector<ClientQuestion>& questions) {
  std::map<std::pair<std::string, std::string>, const ClientQuestion*> answers;
  for (const ClientQuestion& question : questions) {
    answers[{question.fingerprint, question.policy->key + question.policy->epoch}] = &question;
  }
  std::vector<session::Session*> revoked;
  for (const auto& session : sessions_) {
    const tls::ClientCertificate* const shown = certificate_of(*session);
    if (shown == nullptr || shown->leaf() == nullptr) continue;
    tls::ClientCertificate& client = *session->tls()->client_certificate();
    const Guards guards = find_guards(*session);
    const bool named_asks = guards.named_asks();
    const bool was_good = client.verdict().ok();
    bool is_good = was_good;
    for (const Guard& guard : guards.all) {
      // A yet newer policy has questions of its own under way.
      const auto policy = newer_rules(guard, &client);
      if (policy == nullptr) continue;
      const auto answer = answers.find({client.fingerprint(), policy->key + policy->epoch});
      if (answer == answers.end()) continue;
      is_good = is_good && answer->second->verdict.ok();
      // Requests to come are judged by what the handshake named, as long as it asks.
      if (guards.is_named(guard) || !named_asks)
        client.set_verdict(policy, answer->second->verdict);
    }
    if (client.lost() || (was_good && !is_good)) revoked.push_back(session.get());
  }
  for (session::Session* session : revoked) session->cut();
}

void Worker::cut_outlived_clients() {
  const UnixSeconds now = loop_->unix_now();
  std::vector<session::Session*> outlived;
  for (const auto& session : sessions_) {
    const tls::ClientCertificate* const client = certificate_of(*session);
    if (client != nullptr && (client->outlived(now) || client->lost())) {
      outlived.push_back(session.get());
    }
  }
  for (session::Session* session : outlived) session->cut();
}

}  // namespace handfast::server
