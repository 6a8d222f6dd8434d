#include "proxy/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::upstream {
namespace {

// nginx's upstream-keepalive-requests: bounds what one connection can accumulate.
constexpr std::uint64_t kMaxRequests = 10'000;

bool same_trust(const std::string& epoch, const tls::UpstreamPolicy* policy) {
  return policy == nullptr || epoch == policy->epoch;
}

}  // namespace

std::size_t Pool::KeyHash::operator()(const KeyView& key) const noexcept {
  const std::string_view address(reinterpret_cast<const char*>(key.address->data()),
                                 key.address->length());
  const std::hash<std::string_view> hash;
  // The policy key is a sha256: its first bytes are as good as all.
  return hash(address) ^ (hash(key.policy_key.substr(0, 16)) * 0x9e3779b97f4a7c15ULL);
}

bool Pool::KeyEqual::same(const KeyView& a, const KeyView& b) noexcept {
  const auto bytes = [](const net::Address& address) {
    return std::string_view(reinterpret_cast<const char*>(address.data()), address.length());
  };
  return a.policy_key == b.policy_key && bytes(*a.address) == bytes(*b.address);
}

Pool::KeyView Pool::key_of(const net::Address& address, const tls::UpstreamPolicy* policy) {
  return {&address, policy == nullptr ? std::string_view() : std::string_view(policy->key)};
}

Pool::Pool(event::Loop& loop, BufferPool& buffers, tls::ClientContext& tls, Timeouts timeouts,
           Hooks hooks)
    : loop_(loop), buffers_(buffers), tls_(tls), timeouts_(timeouts), hooks_(std::move(hooks)) {}

Pool::~Pool() = default;

bool Pool::usable(const Connection& connection, const tls::UpstreamPolicy* policy) const {
  if (!same_trust(connection.epoch_, policy)) return false;  // not judged under the new trust yet
  return connection.valid_until_ == 0 || loop_.unix_now() <= connection.valid_until_;
}

Connection* Pool::take(const net::Address& address, const tls::UpstreamPolicy* policy,
                       ConnectionUser& user) {
  const auto group = idle_.find(key_of(address, policy));
  if (group == idle_.end()) return nullptr;
  Connection* chosen = nullptr;
  group->second->for_each([&](Connection& idle) {
    if (chosen == nullptr && usable(idle, policy)) chosen = &idle;
  });
  if (chosen == nullptr) return nullptr;
  remove_idle(*chosen);
  chosen->timer_.cancel();
  chosen->user_ = &user;
  return chosen;
}

Connection* Pool::connect(const net::Address& address, const std::string& service,
                          std::shared_ptr<const tls::UpstreamPolicy> policy, ConnectionUser& user) {
  const bool tls = policy != nullptr;
  std::unique_ptr<Connection> made(
      new Connection(*this, address, service, std::move(policy), user));
  Connection* connection = made.get();
  connection->id_ = next_id_++;
  connection->slot_ = all_.size();
  all_.push_back(std::move(made));
  if (tls) by_id_.emplace(connection->id_, connection);
  return connection;
}

void Pool::release(Connection& connection) {
  connection.user_ = nullptr;
  const bool whole = connection.phase_ == Connection::Phase::Finished;
  if (!whole || !connection.keep_alive_ || connection.send_failed_ || connection.superseded_ ||
      connection.stream_->queued() > 0 || connection.requests_ >= kMaxRequests ||
      !connection.is_silent()) {
    close(connection);
    return;
  }
  connection.state_ = Connection::State::Ready;
  connection.in_.release_if_empty();
  connection.stream_->release_memory();
  const KeyView key = key_of(connection.address_, connection.policy_.get());
  auto group = idle_.find(key);
  if (group == idle_.end()) {
    group = idle_
                .emplace(Key{connection.address_, std::string(key.policy_key)},
                         std::make_unique<Idle>())
                .first;
  }
  group->second->push_front(connection);
  ++idle_count_;
  connection.arm(timeouts_.idle);
}

void Pool::abandon(Connection& connection) {
  connection.user_ = nullptr;
  close(connection);
}

void Pool::remove_idle(Connection& connection) {
  if (!connection.linked()) return;
  connection.unlink();
  --idle_count_;
}

void Pool::close(Connection& connection) {
  if (connection.state_ == Connection::State::Closed) return;
  remove_idle(connection);
  connection.timer_.cancel();
  const bool orderly = connection.state_ == Connection::State::Ready;
  if (connection.stream_ != nullptr) {
    if (orderly) {
      connection.stream_->end_write();
      connection.stream_->flush();
    }
    loop_.remove(connection.stream_->socket().fd());
    connection.stream_->socket().close();
  } else if (connection.connecting_.fd() >= 0) {
    loop_.remove(connection.connecting_.fd());
    connection.connecting_.close();
  }
  connection.state_ = Connection::State::Closed;
  by_id_.erase(connection.id_);

  std::unique_ptr<Connection> dying = std::move(all_[connection.slot_]);
  if (connection.slot_ + 1 != all_.size()) {
    all_[connection.slot_] = std::move(all_.back());
    all_[connection.slot_]->slot_ = connection.slot_;
  }
  all_.pop_back();
  loop_.defer_delete(std::move(dying));
}

void Pool::on_snapshot(const route::Snapshot& snapshot,
                       const std::unordered_set<std::string>& policies) {
  if (policies.empty()) return;
  std::vector<Connection*> closing;
  std::vector<JudgeRequest> judging;
  for (const auto& [id, connection] : by_id_) {
    if (!policies.contains(connection->policy_->name)) continue;
    const auto policy = snapshot.find_policy(connection->policy_->name);
    const bool gone = policy == nullptr || policy->refused.has_value();
    const bool same_rules = !gone && policy->key == connection->policy_->key;
    if (!same_rules && connection->linked()) {
      closing.push_back(connection);
      continue;
    }
    if (!same_rules) connection->superseded_ = true;
    if (gone || (same_rules && policy->epoch == connection->epoch_) ||
        connection->ssl() == nullptr || connection->state_ == Connection::State::Handshaking) {
      continue;
    }
    X509* leaf = SSL_get1_peer_certificate(connection->ssl());
    if (leaf == nullptr) continue;
    STACK_OF(X509)* chain = SSL_get_peer_cert_chain(connection->ssl());
    judging.push_back(
        {id, pki::X509Ptr(leaf),
         pki::X509StackPtr(chain == nullptr ? sk_X509_new_null() : X509_chain_up_ref(chain)),
         policy});
  }
  for (Connection* connection : closing) {
    hooks_.on_closed_by_change("identity");
    close(*connection);
  }
  if (!judging.empty()) hooks_.judge(std::move(judging));
}

void Pool::on_judged(std::uint64_t id, const std::string& epoch, const pki::Verdict& verdict) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  Connection& connection = *found->second;
  if (verdict.ok()) {
    connection.epoch_ = epoch;
    connection.valid_until_ = verdict.valid_until;
    return;
  }
  hooks_.on_closed_by_change("trust");
  connection.fail({verdict.reason, verdict.detail});
}

void Pool::close_expired() {
  std::vector<std::pair<Connection*, Reason>> expired;
  const auto past = [this](UnixSeconds end) { return end != 0 && loop_.unix_now() > end; };
  for (const auto& [id, connection] : by_id_) {
    const auto& identity = connection->policy_->identity;
    if (identity != nullptr && past(identity->info().not_after)) {
      expired.emplace_back(connection, Reason::ClientCertificateExpired);
    } else if (past(connection->peer_not_after_) ||
               (connection->linked() && past(connection->valid_until_))) {
      // A CRL may only have grown old: connections in use live on until a certificate ends.
      expired.emplace_back(connection, Reason::Expired);
    }
  }
  for (const auto& [connection, reason] : expired) {
    hooks_.on_closed_by_change("expired");
    connection->fail({reason, "a certificate of this connection has expired"});
  }
  std::erase_if(idle_, [](const auto& group) { return group.second->empty(); });
}

void Pool::close_idle() {
  std::vector<Connection*> idle;
  for (const auto& connection : all_) {
    if (connection->linked()) idle.push_back(connection.get());
  }
  for (Connection* connection : idle) close(*connection);
}

}  // namespace handfast::upstream
