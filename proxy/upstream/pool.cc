#include "proxy/upstream/pool.h"

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/base/string_hash.h"

namespace handfast::upstream {
namespace {

bool same_trust(const std::string& epoch, const tls::UpstreamPolicy* policy) {
  return policy == nullptr || epoch == policy->epoch;
}

// Takes the item out of a vector of owners whose members know their places.
template <class T>
std::unique_ptr<T> take_out(std::vector<std::unique_ptr<T>>& owners, std::size_t T::* slot,
                            const T& item) {
  const std::size_t at = item.*slot;
  check(at < owners.size() && owners[at].get() == &item);
  std::unique_ptr<T> taken = std::move(owners[at]);
  if (at + 1 != owners.size()) {
    owners[at] = std::move(owners.back());
    (*owners[at]).*slot = at;
  }
  owners.pop_back();
  return taken;
}

}  // namespace

std::size_t Pool::KeyHash::operator()(const KeyView& key) const noexcept {
  const std::string_view address(reinterpret_cast<const char*>(key.address->data()),
                                 key.address->length());
  const StringHash hash;
  // The policy key is a sha256: its first bytes are as good as all.
  return (hash(address) + static_cast<std::size_t>(key.wire)) ^
         (hash(key.policy_key.substr(0, 16)) * 0x9e3779b97f4a7c15ULL);
}

bool Pool::KeyEqual::same(const KeyView& a, const KeyView& b) noexcept {
  const auto bytes = [](const net::Address& address) {
    return std::string_view(reinterpret_cast<const char*>(address.data()), address.length());
  };
  return a.wire == b.wire && a.policy_key == b.policy_key && bytes(*a.address) == bytes(*b.address);
}

Pool::KeyView Pool::key_of(const Target& target) {
  return {&target.address,
          target.policy == nullptr ? std::string_view() : std::string_view(target.policy->key),
          target.wire};
}

Pool::KeyView Pool::key_of(const Connection& connection, Wire wire) {
  const auto& policy = connection.facts_.policy;
  return {&connection.facts_.address,
          policy == nullptr ? std::string_view() : std::string_view(policy->key), wire};
}

Pool::Pool(event::Loop& loop, BufferPool& buffers, tls::ClientContext& tls, PoolLimits limits,
           Hooks hooks)
    : loop_(loop),
      buffers_(buffers),
      tls_(tls),
      limits_(limits),
      hooks_(std::move(hooks)),
      load_(limits.max_per_endpoint) {}

Pool::~Pool() = default;

Pool::Group* Pool::find_group(const KeyView& key) {
  const auto found = groups_.find(key);
  return found == groups_.end() ? nullptr : found->second.get();
}

Pool::Group& Pool::group_of(const KeyView& key) {
  if (Group* const group = find_group(key); group != nullptr) return *group;
  return *groups_
              .emplace(Key{*key.address, std::string(key.policy_key), key.wire},
                       std::make_unique<Group>())
              .first->second;
}

bool Pool::usable(const Connection& connection, const tls::UpstreamPolicy* policy) const {
  if (connection.superseded_) return false;
  if (!same_trust(connection.epoch_, policy)) return false;  // not judged under the new trust yet
  if (is_aged(connection, policy)) return false;
  return connection.valid_until_ == 0 || loop_.unix_now() <= connection.valid_until_;
}

bool Pool::is_aged(const Connection& connection, const tls::UpstreamPolicy* policy) const {
  return policy != nullptr && policy->max_age.count() > 0 &&
         loop_.now() - connection.born_ >= policy->max_age;
}

Channel* Pool::take(const Target& target, ChannelUser& user) {
  Group* const group = find_group(key_of(target));
  if (group == nullptr) return nullptr;
  for (H2Connection* connection : group->shared) {
    if (!usable(*connection, target.policy.get()) || connection->room() == 0) continue;
    if (!connection->waiting_.empty()) continue;  // they were first
    remove_idle(*connection);
    return &connection->open(user);
  }
  Connection* const idle = group->idle.find_if(
      [&](const Connection& connection) { return usable(connection, target.policy.get()); });
  if (idle == nullptr) return nullptr;
  remove_idle(*idle);
  auto& chosen = static_cast<H1Connection&>(*idle);
  chosen.hand_to(user);
  return &chosen;
}

bool Pool::connect(const Target& target, const std::string& service, ChannelUser& user) {
  Group* group = nullptr;
  if (target.wire != Wire::Http1) {
    group = &group_of(key_of(target));
    if (group->dialling != nullptr) {
      group->dialling->add(user);
      return true;
    }
    for (H2Connection* connection : group->shared) {
      if (!usable(*connection, target.policy.get()) || !connection->may_be_waited_for()) continue;
      remove_idle(*connection);
      user.dial_ = nullptr;
      connection->wait(user);
      return true;
    }
  }
  auto place = find_place(target.address);
  if (!place) return false;
  auto made = std::make_unique<Dial>(*this, target, service, std::move(*place));
  Dial& dial = *made;
  dial.slot_ = dials_.size();
  dials_.push_back(std::move(made));
  dial.add(user);
  if (group != nullptr && !group->speaks_http1) group->dialling = &dial;
  return true;
}

// An idle connection of another identity, or one that its user doesn't trust to live, makes room.
std::optional<EndpointLoad::Place> Pool::find_place(const net::Address& endpoint) {
  auto place = load_.try_take(endpoint);
  if (place || !load_.has_idle(endpoint)) return place;
  const auto idle = std::ranges::find_if(all_, [&](const std::unique_ptr<Connection>& one) {
    return one->counted_idle_ && one->facts_.address == endpoint;
  });
  check(idle != all_.end());
  close(**idle);
  return load_.try_take(endpoint);
}

void Pool::connect_or_fail(const Target& target, const std::string& service, ChannelUser& user) {
  if (connect(target, service, user)) return;
  const PeerFacts peer{.address = target.address, .policy = target.policy, .tls = {}};
  user.on_upstream_failed({.error = {Reason::NoEndpoints, "the endpoint takes no more connections"},
                           .unprocessed = true,
                           .peer = &peer,
                           .crowded = true});
}

void Pool::cancel(ChannelUser& user) {
  if (!user.linked()) return;
  user.dial_ != nullptr ? user.dial_->remove(user) : user.unlink();
}

template <class T>
T& Pool::adopt(std::unique_ptr<T> made, bool tls) {
  T& connection = *made;
  Connection& base = connection;
  base.id_ = next_id_++;
  base.slot_ = all_.size();
  all_.push_back(std::move(made));
  if (tls) by_id_.emplace(base.id_, &base);
  return connection;
}

void Pool::on_dialled(Dial& dial) {
  const int fd = dial.made_.stream->socket().fd();
  const bool tls = dial.made_.tls != nullptr;
  const bool http2 = dial.made_.http2;
  Group& group = group_of(key_of(dial.target_));
  if (group.dialling == &dial) group.dialling = nullptr;
  group.speaks_http1 = !http2;

  if (http2) {
    auto& connection = adopt(
        std::make_unique<H2Connection>(*this, std::move(dial.made_), group.stream_limit), tls);
    loop_.rebind(fd, connection);
    group.shared.push_back(&connection);
    IntrusiveList<ChannelUser> waiting;
    waiting.splice(dial.waiting_);
    const Target target = dial.target_;
    close(dial);
    give_to(connection, waiting, target);
    return;
  }
  auto& connection = adopt(std::make_unique<H1Connection>(*this, std::move(dial.made_)), tls);
  loop_.rebind(fd, connection);
  ChannelUser& first = dial.waiting_.front();
  first.unlink();
  first.dial_ = nullptr;
  // The others know now that they need one each.
  IntrusiveList<ChannelUser> others;
  others.splice(dial.waiting_);
  const Target target = dial.target_;
  const std::string service = connection.service_;
  close(dial);
  connection.hand_to(first);
  first.on_upstream_ready(connection);
  while (!others.empty()) {
    ChannelUser& other = others.front();
    other.unlink();
    other.dial_ = nullptr;
    connect_or_fail(target, service, other);
  }
}

void Pool::on_stream_limit(const H2Connection& connection, std::size_t limit) {
  group_of(key_of(connection, connection.wire_)).stream_limit = limit;
}

void Pool::serve_waiting(H2Connection& connection) {
  IntrusiveList<ChannelUser> waiting;
  waiting.splice(connection.waiting_);
  give_to(connection, waiting,
          {connection.facts_.address, connection.facts_.policy, connection.wire_,
           connection.connect_timeout_});
}

// Those for whom there is no room wait on, for this connection's SETTINGS or the next connection.
void Pool::give_to(H2Connection& connection, IntrusiveList<ChannelUser>& waiting,
                   const Target& target) {
  const std::string service = connection.service_;
  while (!waiting.empty()) {
    ChannelUser& user = waiting.front();
    user.unlink();
    user.dial_ = nullptr;
    // What a user does may end the connection.
    const auto alive = find_group(key_of(target));
    const bool there =
        alive != nullptr && std::ranges::find(alive->shared, &connection) != alive->shared.end();
    if (there && connection.room() > 0) {
      user.on_upstream_ready(connection.open(user));
    } else {
      connect_or_fail(target, service, user);
    }
  }
}

void Pool::keep(H1Connection& connection) {
  if (connection.superseded_ || is_aged(connection, connection.facts_.policy.get())) {
    close(connection);
    return;
  }
  if (idle_count_ >= limits_.max_idle) drop_oldest_idle();
  group_of(key_of(connection, connection.wire_)).idle.push_front(connection);
  count_idle(connection);
  connection.arm(limits_.idle);
}

// Of any key: the timers know which of them is the oldest, but not cheaply; the last of a crowded
// group is old enough.
void Pool::drop_oldest_idle() {
  for (const auto& [key, group] : groups_) {
    if (!group->idle.empty()) {
      close(group->idle.back());
      return;
    }
    const auto idle = std::ranges::find_if(
        group->shared, [](const H2Connection* one) { return one->counted_idle_; });
    if (idle != group->shared.end()) {
      close(**idle);
      return;
    }
  }
}

void Pool::on_channel_closed(H2Connection& connection) {
  if (connection.in_use()) return;
  if (connection.superseded_ || connection.spent() ||
      is_aged(connection, connection.facts_.policy.get())) {
    // In the next round: what it was told last, a reset perhaps, is sent first.
    connection.arm(std::chrono::milliseconds(0));
    return;
  }
  if (!connection.counted_idle_) {
    if (idle_count_ >= limits_.max_idle) drop_oldest_idle();
    count_idle(connection);
  }
  connection.arm(limits_.idle);
}

void Pool::count_idle(Connection& connection) {
  connection.counted_idle_ = true;
  connection.place_.set_idle(true);
  ++idle_count_;
}

void Pool::remove_idle(Connection& connection) {
  connection.unlink();
  if (!std::exchange(connection.counted_idle_, false)) return;
  connection.place_.set_idle(false);
  --idle_count_;
}

void Pool::forget_shared(Connection& connection) {
  Group* const group = find_group(key_of(connection, connection.wire_));
  if (group == nullptr) return;
  std::erase_if(group->shared, [&](H2Connection* one) { return one == &connection; });
}

void Pool::cut_off(Connection& connection) {
  net::Socket& socket = connection.stream_->socket();
  if (socket.fd() < 0) return;
  remove_idle(connection);
  forget_shared(connection);
  loop_.remove(socket.fd());
  socket.close();
  connection.place_ = {};
  by_id_.erase(connection.id_);
}

void Pool::close(Connection& connection) {
  if (connection.closed_) return;
  connection.timer_.cancel();
  if (!connection.in_use() && connection.stream_->socket().fd() >= 0) {
    connection.stream_->end_write();
    connection.stream_->flush();
  }
  connection.closed_ = true;
  cut_off(connection);
  loop_.defer_delete(take_out(all_, &Connection::slot_, connection));
}

void Pool::close(Dial& dial) {
  if (dial.state_ == Dial::State::Closed) return;
  dial.state_ = Dial::State::Closed;
  dial.timer_.cancel();
  dial.made_.place = {};
  if (Group* const group = find_group(key_of(dial.target_));
      group != nullptr && group->dialling == &dial) {
    group->dialling = nullptr;
  }
  if (dial.made_.stream != nullptr) {
    loop_.remove(dial.made_.stream->socket().fd());
    dial.made_.stream->socket().close();
  } else if (dial.connecting_.fd() >= 0) {
    loop_.remove(dial.connecting_.fd());
    dial.connecting_.close();
  }
  loop_.defer_delete(take_out(dials_, &Dial::slot_, dial));
}

std::optional<Pool::Ending> Pool::ending_of(const Connection& connection) const {
  const auto past = [this](UnixSeconds end) { return end != 0 && loop_.unix_now() > end; };
  const auto& identity = connection.facts_.policy->identity;
  if (identity != nullptr && past(identity->info().not_after)) {
    return Ending{{Reason::ClientCertificateExpired, "our certificate has expired"}, "expired"};
  }
  // A CRL may only have grown old: connections in use live on until a certificate ends.
  const bool audited = loop_.unix_now() < connection.facts_.policy->audit_until;
  if ((past(connection.peer_not_after_) && !audited) ||
      (!connection.in_use() && past(connection.valid_until_))) {
    return Ending{{Reason::Expired, "a certificate of this connection has expired"}, "expired"};
  }
  if (connection.would_refuse_ != Reason::Ok && past(connection.valid_until_)) {
    return Ending{{connection.would_refuse_, "the audit that let this connection through is over"},
                  "audit"};
  }
  if (connection.drain_at_ && loop_.now() >= *connection.drain_at_) {
    return Ending{{Reason::ClientCertificateExpired,
                   "our certificate was replaced, and its drain period is over"},
                  "drained"};
  }
  if (connection.distrusted_ && loop_.now() >= connection.distrusted_->end) {
    return Ending{connection.distrusted_->why, "trust"};
  }
  if (!connection.in_use() && is_aged(connection, connection.facts_.policy.get())) {
    return Ending{{Reason::Expired, "the connection is as old as it may be"}, ""};
  }
  return std::nullopt;
}

void Pool::close_expired() {
  std::vector<std::pair<std::uint64_t, Ending>> ending;
  for (const auto& [id, connection] : by_id_) {
    if (auto why = ending_of(*connection)) ending.emplace_back(id, std::move(*why));
  }
  for (auto& [id, why] : ending) {
    const auto found = by_id_.find(id);  // what one user does may end others
    if (found == by_id_.end()) continue;
    if (!why.cause.empty()) hooks_.on_closed_by_change(why.cause);
    found->second->fail(std::move(why.error));
  }
  std::erase_if(groups_, [](const auto& group) { return group.second->empty(); });
}

void Pool::close_idle() {
  std::vector<Connection*> idle;
  for (const auto& connection : all_) {
    if (!connection->in_use()) idle.push_back(connection.get());
  }
  for (Connection* connection : idle) close(*connection);
}

}  // namespace handfast::upstream
