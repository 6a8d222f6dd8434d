#pragma once
// Addresses of external names, looked up on a thread of its own, so that no event loop waits for
// DNS.
//
// An answer is good for kFresh, then asked for again while the old one goes on serving; a name that
// stops resolving keeps its last good answer for kKeep. Loopback, link-local and the like are
// refused: an ExternalName must not lead to the proxy's own ports or to a metadata service
// (CVE-2021-32783).
//
// Threading: lookup() from any thread; `done` runs on the resolver's thread: post it to your loop.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/net/address.h"

namespace handfast::upstream {

using Addresses = std::shared_ptr<const std::vector<net::Address>>;

class Resolver {
 public:
  static constexpr std::chrono::seconds kFresh{30};
  static constexpr std::chrono::seconds kKeep{3600};

  // Finds the addresses of a name: getaddrinfo, but for tests. Called on the resolver's thread.
  using Query =
      std::function<Result<std::vector<net::Address>>(const std::string& name, std::uint16_t port)>;

  Resolver(const Clock& clock, Query query);
  ~Resolver();

  using Done = std::function<void(Addresses)>;
  // The addresses at hand, or null: then `done` is called once, with an empty list if the name
  // can't be resolved.
  [[nodiscard]] Addresses lookup(const std::string& name, std::uint16_t port, Done done);

  [[nodiscard]] static Result<std::vector<net::Address>> query_system(const std::string& name,
                                                                      std::uint16_t port);

 private:
  using Key = std::pair<std::string, std::uint16_t>;
  struct Entry {
    Addresses addresses;  // null: never resolved
    Monotonic asked{};
    Monotonic answered{};
    bool pending = false;
    std::vector<Done> waiting;
  };

  void run();
  void resolve(const Key& key);

  const Clock& clock_;
  Query query_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<Key, Entry> entries_;
  std::vector<Key> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace handfast::upstream
