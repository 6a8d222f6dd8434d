#include "proxy/tls/session_store.h"

#include <utility>

namespace handfast::tls {
namespace {

// Measured with OpenSSL 3.0: a session without its ticket, with map and list; one certificate in
// its parsed form. Sessions that come of one full handshake share the peer's certificates.
constexpr std::size_t kSessionBytes = 1'200;
constexpr std::size_t kCertificateBytes = 5'000;

std::size_t ticket_bytes(const StoredSession& stored) {
  const unsigned char* ticket = nullptr;
  std::size_t length = 0;
  SSL_SESSION_get0_ticket(stored.session.get(), &ticket, &length);
  return length;
}

std::size_t certificates(const StoredSession& stored) {
  const int count = sk_X509_num(stored.chain.get());  // -1 for null
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

bool same_handshake(const StoredSession& a, const StoredSession& b) {
  return SSL_SESSION_get0_peer(a.session.get()) == SSL_SESSION_get0_peer(b.session.get());
}

bool fit(const StoredSession& stored, UnixSeconds now) {
  return now < stored.use_until && SSL_SESSION_is_resumable(stored.session.get()) == 1;
}

}  // namespace

StoredSession StoredSession::copy() const {
  SSL_SESSION_up_ref(session.get());
  return {SslSessionPtr(session.get()),
          pki::X509StackPtr(chain == nullptr ? nullptr : X509_chain_up_ref(chain.get())),
          epoch,
          valid_until,
          use_until,
          stapled,
          would_refuse,
          certificate_requested};
}

SessionStore::SessionStore(std::size_t max_bytes) : shard_bytes_(max_bytes / kShards) {}

SessionStore::Shard& SessionStore::shard_of(std::string_view key) {
  return shards_[std::hash<std::string_view>{}(key) % kShards];
}

void SessionStore::count_bytes(Shard& shard, Group& group) {
  shard.bytes -= group.bytes;
  group.bytes = 0;
  for (std::size_t i = 0; i < group.sessions.size(); ++i) {
    const StoredSession& stored = group.sessions[i];
    group.bytes += kSessionBytes + group.key.size() + ticket_bytes(stored);
    if (i > 0 && same_handshake(group.sessions[i - 1], stored)) continue;
    group.bytes += kCertificateBytes * certificates(stored);
    if (stored.stapled != nullptr) group.bytes += stored.stapled->size();
  }
  shard.bytes += group.bytes;
}

void SessionStore::remove(Shard& shard, Groups::iterator group, std::size_t index,
                          Dropped& dropped) {
  const auto at = group->sessions.begin() + static_cast<std::ptrdiff_t>(index);
  dropped.push_back(std::move(*at));
  group->sessions.erase(at);
  count_bytes(shard, *group);
  if (!group->sessions.empty()) return;
  shard.by_key.erase(group->key);
  shard.groups.erase(group);
}

void SessionStore::put(const std::string& key, StoredSession session) {
  Shard& shard = shard_of(key);
  Dropped dropped;
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) {
    shard.groups.push_front({.key = key, .sessions = {}});
    shard.by_key.emplace(shard.groups.front().key, shard.groups.begin());
  } else {
    shard.groups.splice(shard.groups.begin(), shard.groups, found->second);
  }
  const auto group = shard.groups.begin();
  group->sessions.push_back(std::move(session));
  count_bytes(shard, *group);
  if (group->sessions.size() > kPerKey) remove(shard, group, 0, dropped);
  while (shard.bytes > shard_bytes_) remove(shard, std::prev(shard.groups.end()), 0, dropped);
}

std::optional<StoredSession> SessionStore::take(const std::string& key, UnixSeconds now) {
  Shard& shard = shard_of(key);
  Dropped dropped;
  const std::lock_guard lock(shard.mutex);
  for (;;) {
    const auto found = shard.by_key.find(key);
    if (found == shard.by_key.end()) return std::nullopt;
    remove(shard, found->second, found->second->sessions.size() - 1, dropped);
    if (!fit(dropped.back(), now)) continue;
    StoredSession taken = std::move(dropped.back());
    dropped.pop_back();
    return taken;
  }
}

void SessionStore::forget(const std::string& key, const SSL_SESSION* session) {
  Shard& shard = shard_of(key);
  Dropped dropped;
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return;
  const auto group = found->second;
  for (std::size_t i = 0; i < group->sessions.size(); ++i) {
    if (group->sessions[i].session.get() != session) continue;
    remove(shard, group, i, dropped);
    return;
  }
}

void SessionStore::drop_if(
    const std::function<bool(std::string_view key, const StoredSession&)>& useless) {
  for (Shard& shard : shards_) {
    Dropped dropped;
    const std::lock_guard lock(shard.mutex);
    for (auto group = shard.groups.begin(); group != shard.groups.end();) {
      const auto current = group++;  // removing its last session removes the group
      for (std::size_t i = current->sessions.size(); i-- > 0;) {
        if (useless(current->key, current->sessions[i])) remove(shard, current, i, dropped);
      }
    }
  }
}

std::size_t SessionStore::size() const {
  std::size_t count = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (const Group& group : shard.groups) count += group.sessions.size();
  }
  return count;
}

std::size_t SessionStore::bytes() const {
  std::size_t sum = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    sum += shard.bytes;
  }
  return sum;
}

}  // namespace handfast::tls
