#pragma once
// TLS sessions with backends, kept for resumption: one store for all workers.
//
// A session stands under a key that holds everything that decides whether it may serve: where it
// leads, what was offered, what we presented, and the rules (design invariant 8). Beside it lies
// what its verification rested on, so that whoever takes it can tell whether that still holds.
//
// At most kPerKey sessions a key, the newest is taken first: each connection under TLS 1.3 takes
// one and brings one, and a burst of as many finds enough. What was used longest ago goes when the
// bytes (an estimate) exceed the limit. A session is handed out once; whoever may use it again (TLS
// 1.2) puts a copy back. What nobody will ask for again, because its time or its policy is over, is
// dropped when a generation has been taken up: else each rotation and each new set of endpoints
// would leave something here, up to the limit.
//
// Threading: any thread; sharded locks, touched only when a connection is made or brings a session,
// never while OpenSSL frees something. OpenSSL counts references to sessions atomically, and one
// that was handed out changes no more but for its flag "not resumable".

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::tls {

using SslSessionPtr = std::unique_ptr<SSL_SESSION, pki::OpensslDeleter<SSL_SESSION_free>>;

struct StoredSession {
  SslSessionPtr session;
  pki::X509StackPtr chain;      // as the peer showed it when the session was made, leaf first
  std::string epoch;            // of the trust that the chain was last judged under
  UnixSeconds valid_until = 0;  // of that verdict; 0: no end
  UnixSeconds use_until = 0;    // its own lifetime, and the certificate that we presented
  std::shared_ptr<const std::string> stapled{};  // the OCSP response of that handshake
  Reason would_refuse = Reason::Ok;              // of the verdict
  bool certificate_requested = false;  // in the handshake that made it: a resumed one doesn't ask

  [[nodiscard]] StoredSession copy() const;  // shares what is immutable
};

class SessionStore {
 public:
  static constexpr std::size_t kPerKey = 16;
  // Some 2,000 keys with two sessions each, or 600 with as many as they may have.
  static constexpr std::size_t kMaxBytes = 32 << 20;

  explicit SessionStore(std::size_t max_bytes = kMaxBytes);

  void put(const std::string& key, StoredSession session);
  // The newest session that is in time and resumable; what isn't is dropped.
  [[nodiscard]] std::optional<StoredSession> take(const std::string& key, UnixSeconds now);
  // It failed, or was replaced.
  void forget(const std::string& key, const SSL_SESSION* session);
  void drop_if(const std::function<bool(std::string_view key, const StoredSession&)>& useless);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t bytes() const;

 private:
  static constexpr std::size_t kShards = 16;

  struct Group {
    std::string key;
    std::vector<StoredSession> sessions;  // the newest last
    std::size_t bytes = 0;
  };
  using Groups = std::list<Group>;
  struct Shard {
    mutable std::mutex mutex;
    Groups groups;  // the last used first
    std::unordered_map<std::string_view, Groups::iterator> by_key;
    std::size_t bytes = 0;
  };
  // Freed by whoever holds them, outside of the lock.
  using Dropped = std::vector<StoredSession>;

  [[nodiscard]] Shard& shard_of(std::string_view key);
  static void count_bytes(Shard& shard, Group& group);
  static void remove(Shard& shard, Groups::iterator group, std::size_t index, Dropped& dropped);

  std::size_t shard_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace handfast::tls
