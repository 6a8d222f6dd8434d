#pragma once
// Addresses of external names, kept for as long as DNS says, so that no request waits for what is
// known, and no event loop for what isn't.
//
//   asked, answered          fresh until its TTL has passed (kLeastTtl to kMostTtl)
//   stale for kGrace         is still served, while it is asked again
//   stale for longer         is waited for
//   the question fails       the last good answer goes on serving: kKeepOnFailure beyond its TTL
//                            when nothing could be learned, kKeepWithoutName when DNS says that
//                            there is no such name (a zone that was lost for a moment, and yet a
//                            name that was deleted must end); asked again every kRetry
//   nothing good to keep     an empty answer, for kRetry
//
// Refused are addresses that a name from outside must not lead to: loopback, link-local,
// unspecified, multicast, metadata services of clouds, and the proxy's own listeners
// (CVE-2021-32783). A name that leads nowhere else has no addresses, whatever was good before. An
// address that is left comes once, IPv4 before IPv6, sorted: the order in which DNS happens to tell
// them is of no meaning to the balancer.
//
// Threading: any thread; `done` is called once, on whatever thread the answer comes, perhaps before
// lookup() returns: post it to your loop. Ownership: who owns the query sees to it that no answer
// comes after the Resolver has ended.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/net/address.h"
#include "proxy/upstream/name_answer.h"

namespace handfast::upstream {

using Addresses = std::shared_ptr<const std::vector<net::Address>>;

// The addresses of this machine's interfaces.
[[nodiscard]] std::vector<net::Address> interface_addresses();

class Resolver {
 public:
  static constexpr std::chrono::seconds kLeastTtl{1};
  static constexpr std::chrono::seconds kMostTtl{3600};
  static constexpr std::chrono::seconds kGrace{30};
  static constexpr std::chrono::seconds kRetry{5};
  static constexpr std::chrono::seconds kKeepOnFailure{3600};
  static constexpr std::chrono::seconds kKeepWithoutName{600};

  Resolver(const Clock& clock, NameQuery query);
  ~Resolver();

  // Where this process listens. One on all addresses is one on each of `interfaces`.
  void set_own_listeners(
      std::vector<net::Address> listeners,
      std::function<std::vector<net::Address>()> interfaces = interface_addresses);

  // What of an address in a name's place may be used: it, or nothing.
  [[nodiscard]] std::vector<net::Address> admit(const net::Address& literal);

  using Done = std::function<void(Addresses)>;
  // The addresses at hand, perhaps none, or null: then `done` is called once.
  [[nodiscard]] Addresses lookup(std::string_view name, std::uint16_t port, Done done);

 private:
  using Key = std::pair<std::string, std::uint16_t>;
  using KeyView = std::pair<std::string_view, std::uint16_t>;
  struct ByKey {
    using is_transparent = void;
    bool operator()(const KeyView& a, const KeyView& b) const { return a < b; }
  };
  struct Entry {
    Addresses addresses;      // null: not answered yet
    Monotonic fresh_until{};  // not asked again before
    Monotonic serve_until{};  // and served until then, if there are any
    Monotonic expires{};      // of the last good answer
    Monotonic used{};
    bool pending = false;
    bool refused = false;  // all that was found may not be used
    std::vector<Done> waiting{};
  };

  Entry& find_or_make(std::string_view name, std::uint16_t port, Monotonic now);
  void on_answer(const Key& key, NameAnswer answer);
  void take(Entry& entry, const Key& key, NameAnswer answer, Monotonic now);
  [[nodiscard]] std::vector<net::Address> usable(const std::vector<net::Address>& found,
                                                 std::uint16_t port) const;
  [[nodiscard]] bool is_own(const net::Address& address) const;

  const Clock& clock_;
  NameQuery query_;
  const Addresses none_;
  std::mutex mutex_;
  std::map<Key, Entry, ByKey> entries_;
  std::size_t drop_at_;
  std::vector<net::Address> listeners_;
  std::function<std::vector<net::Address>()> interfaces_ = interface_addresses;
};

}  // namespace handfast::upstream
