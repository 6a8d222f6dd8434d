#include "proxy/upstream/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <utility>

namespace handfast::upstream {

Resolver::Resolver(const Clock& clock, Query query)
    : clock_(clock), query_(std::move(query)), thread_([this] { run(); }) {}

Resolver::~Resolver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Result<std::vector<net::Address>> Resolver::query_system(const std::string& name,
                                                         std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(name.c_str(), std::to_string(port).c_str(), &hints, &found);
      error != 0) {
    return fail(Reason::NoEndpoints, name + ": " + ::gai_strerror(error));
  }
  std::vector<net::Address> addresses;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    const net::Address address = net::Address::from_sockaddr(info->ai_addr, info->ai_addrlen);
    if (std::ranges::find(addresses, address) == addresses.end()) addresses.push_back(address);
  }
  ::freeaddrinfo(found);
  return addresses;
}

Addresses Resolver::lookup(const std::string& name, std::uint16_t port, Done done) {
  const std::lock_guard lock(mutex_);
  const Key key{name, port};
  Entry& entry = entries_[key];
  const Monotonic now = clock_.now();
  const bool kept = entry.addresses != nullptr && now - entry.answered < kKeep;
  if (!entry.pending && (!kept || now - entry.asked >= kFresh)) {
    entry.pending = true;
    entry.asked = now;
    queue_.push_back(key);
    wake_.notify_one();
  }
  if (kept) return entry.addresses;
  entry.waiting.push_back(std::move(done));
  return nullptr;
}

void Resolver::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const Key key = queue_.front();
    queue_.erase(queue_.begin());
    lock.unlock();
    resolve(key);
    lock.lock();
  }
}

void Resolver::resolve(const Key& key) {
  auto answer = query_(key.first, key.second);
  if (answer)
    std::erase_if(*answer, [](const net::Address& address) { return address.is_local_only(); });

  std::vector<Done> waiting;
  Addresses addresses;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[key];
    entry.pending = false;
    if (answer && !answer->empty()) {
      entry.addresses = std::make_shared<const std::vector<net::Address>>(std::move(*answer));
      entry.answered = clock_.now();
    } else if (answer || clock_.now() - entry.answered >= kKeep) {
      // It resolves, to nothing that we may connect to; or the last good answer is too old.
      entry.addresses = nullptr;
    }
    addresses = entry.addresses != nullptr ? entry.addresses
                                           : std::make_shared<const std::vector<net::Address>>();
    waiting.swap(entry.waiting);
  }
  for (Done& done : waiting) done(addresses);
}

}  // namespace handfast::upstream
