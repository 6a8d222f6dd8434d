#include "proxy/upstream/resolver.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "proxy/base/log.h"

namespace handfast::upstream {
namespace {

// A name that nobody asked for in so long is forgotten, once there are many.
constexpr std::chrono::hours kUnused{2};
constexpr std::size_t kManyNames = 256;

// IPv4 before IPv6, then by the bytes of the address.
bool comes_before(const net::Address& a, const net::Address& b) {
  if (a.family() != b.family()) return a.family() == AF_INET;
  if (a.family() == AF_INET) {
    return ::memcmp(&reinterpret_cast<const sockaddr_in*>(a.data())->sin_addr,
                    &reinterpret_cast<const sockaddr_in*>(b.data())->sin_addr, sizeof(in_addr)) < 0;
  }
  return ::memcmp(&reinterpret_cast<const sockaddr_in6*>(a.data())->sin6_addr,
                  &reinterpret_cast<const sockaddr_in6*>(b.data())->sin6_addr,
                  sizeof(in6_addr)) < 0;
}

}  // namespace

std::vector<net::Address> interface_addresses() {
  std::vector<net::Address> addresses;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return addresses;
  for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    if (one->ifa_addr->sa_family == AF_INET) {
      addresses.push_back(net::Address::from_sockaddr(one->ifa_addr, sizeof(sockaddr_in)));
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      addresses.push_back(net::Address::from_sockaddr(one->ifa_addr, sizeof(sockaddr_in6)));
    }
  }
  ::freeifaddrs(first);
  return addresses;
}

Resolver::Resolver(const Clock& clock, NameQuery query)
    : clock_(clock),
      query_(std::move(query)),
      none_(std::make_shared<const std::vector<net::Address>>()),
      drop_at_(kManyNames) {}
Resolver::~Resolver() = default;

void Resolver::set_own_listeners(std::vector<net::Address> listeners,
                                 std::function<std::vector<net::Address>()> interfaces) {
  const std::lock_guard lock(mutex_);
  listeners_ = std::move(listeners);
  interfaces_ = std::move(interfaces);
}

Addresses Resolver::lookup(std::string_view name, std::uint16_t port, Done done) {
  Addresses at_hand;
  {
    const std::lock_guard lock(mutex_);
    const Monotonic now = clock_.now();
    Entry& entry = find_or_make(name, port, now);
    if (now < entry.fresh_until) return entry.addresses;
    const bool any = entry.addresses != nullptr && !entry.addresses->empty();
    if (any && now < entry.serve_until) {
      at_hand = entry.addresses;
    } else {
      entry.waiting.push_back(std::move(done));
    }
    if (entry.pending) return at_hand;
    entry.pending = true;
  }
  // Without the lock: the answer may come from within.
  query_(std::string(name),
         [this, key = Key(name, port)](NameAnswer answer) { on_answer(key, std::move(answer)); });
  return at_hand;
}

Resolver::Entry& Resolver::find_or_make(std::string_view name, std::uint16_t port, Monotonic now) {
  auto found = entries_.find(KeyView(name, port));
  if (found == entries_.end()) {
    if (entries_.size() >= drop_at_) {
      std::erase_if(entries_, [now](const auto& entry) {
        return !entry.second.pending && now - entry.second.used > kUnused;
      });
      drop_at_ = std::max(kManyNames, 2 * entries_.size());
    }
    found = entries_.emplace(Key(name, port), Entry{}).first;
  }
  found->second.used = now;
  return found->second;
}

void Resolver::on_answer(const Key& key, NameAnswer answer) {
  std::vector<Done> waiting;
  Addresses addresses;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_.find(key)->second;  // pending ones aren't dropped
    entry.pending = false;
    take(entry, key, std::move(answer), clock_.now());
    addresses = entry.addresses;
    waiting.swap(entry.waiting);
  }
  for (const Done& done : waiting) done(addresses);
}

void Resolver::take(Entry& entry, const Key& key, NameAnswer answer, Monotonic now) {
  const bool any = entry.addresses != nullptr && !entry.addresses->empty();
  if (answer.kind == NameAnswer::Kind::Found) {
    std::vector<net::Address> list = usable(answer.addresses, key.second);
    if (!list.empty()) {
      entry.refused = false;
      entry.expires = now + std::clamp(answer.ttl, kLeastTtl, kMostTtl);
      entry.fresh_until = entry.expires;
      entry.serve_until = entry.expires + kGrace;
      // The same list stays the same object: who balances over it knows it again.
      if (!any || *entry.addresses != list) {
        entry.addresses = std::make_shared<const std::vector<net::Address>>(std::move(list));
      }
      return;
    }
    if (!entry.refused) {
      log(LogLevel::Warning, "an external name leads only to addresses that are refused",
          {{"name", key.first}});
    }
    entry.refused = true;
    entry.addresses = none_;
  } else {
    const bool gone = answer.kind == NameAnswer::Kind::NoSuchName;
    entry.serve_until = entry.expires + (gone ? kKeepWithoutName : kKeepOnFailure);
    if (!any || now >= entry.serve_until) entry.addresses = none_;
    log(LogLevel::Debug, "an external name isn't resolved",
        {{"name", key.first}, {"detail", answer.detail}});
  }
  entry.fresh_until = now + kRetry;
}

std::vector<net::Address> Resolver::admit(const net::Address& literal) {
  const std::lock_guard lock(mutex_);
  return usable({literal}, literal.port());
}

std::vector<net::Address> Resolver::usable(const std::vector<net::Address>& found,
                                           std::uint16_t port) const {
  std::vector<net::Address> list;
  for (const net::Address& one : found) {
    // By its text an IPv4-mapped address becomes what it means.
    const auto address = net::Address::from_ip(one.ip(), port);
    if (address && !address->is_local_only() && !is_own(*address)) list.push_back(*address);
  }
  std::ranges::sort(list, comes_before);
  const auto again = std::ranges::unique(list);
  list.erase(again.begin(), again.end());
  return list;
}

bool Resolver::is_own(const net::Address& address) const {
  for (const net::Address& listener : listeners_) {
    if (listener.port() != address.port()) continue;
    if (listener == address) return true;
    const std::string ip = listener.ip();
    if (ip != "0.0.0.0" && ip != "::") continue;
    for (const net::Address& mine : interfaces_()) {
      if (mine.ip() == address.ip()) return true;
    }
  }
  return false;
}

}  // namespace handfast::upstream
